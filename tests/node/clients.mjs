// Other people's clients, each used as its own documentation shows. `node clients.mjs CASE` runs one case and
// prints what the client made of the answer as one line of JSON; the tests say what it has to be.

import Anthropic from "@anthropic-ai/sdk";
import OpenAI, { toFile } from "openai";

const { ABYSSAL_URL, ABYSSAL_KEY, ABYSSAL_MODEL: model } = process.env;
const openai = new OpenAI({ baseURL: `${ABYSSAL_URL}/v1`, apiKey: ABYSSAL_KEY, maxRetries: 0, timeout: 20_000 });
const beta = new OpenAI({ baseURL: `${ABYSSAL_URL}/beta`, apiKey: ABYSSAL_KEY, maxRetries: 0, timeout: 20_000 });
const anthropic = new Anthropic({ baseURL: `${ABYSSAL_URL}/anthropic`, apiKey: ABYSSAL_KEY, maxRetries: 0, timeout: 20_000 });

const messages = [{ role: "user", content: "hi" }];
const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "get_weather", parameters: city } }];

async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

const cases = {
  async chat() {
    const answer = await openai.chat.completions.create({ model, messages });
    return { content: answer.choices[0].message.content, usage: answer.usage, id: answer._request_id };
  },

  async chatStream() {
    const stream = await openai.chat.completions.create({
      model, messages, stream: true, stream_options: { include_usage: true },
    });
    const chunks = await all(stream);
    return {
      content: chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join(""),
      finish: chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean),
      usage: chunks.at(-1).usage,
    };
  },

  async chatTool() {
    const answer = await openai.chat.completions.create({ model, messages, tools });
    return answer.choices[0].message.tool_calls;
  },

  async chatRunTools() {
    const asked = [];
    const runner = openai.chat.completions.runTools({
      model, messages, tools: [{
        type: "function",
        function: {
          name: "get_weather", parameters: city, parse: JSON.parse,
          function: (place) => { asked.push(place); return "sunny"; },
        },
      }],
    });
    return { asked, content: await runner.finalContent() };
  },

  async chatHelperStream() {
    const stream = openai.chat.completions.stream({ model, messages });
    const answer = await stream.finalChatCompletion();
    return { content: answer.choices[0].message.content, usage: await stream.totalUsage() };
  },

  async chatAborted() {
    const stream = await openai.chat.completions.create({ model, messages, stream: true });
    for await (const _ of stream) break;
    return stream.controller.signal.aborted;
  },

  async completion() {
    const answer = await openai.completions.create({ model, prompt: "Once", max_tokens: 5 });
    return { object: answer.object, text: answer.choices[0].text, usage: answer.usage };
  },

  async completionStream() {
    const chunks = await all(await openai.completions.create({ model, prompt: "Once", stream: true }));
    return chunks.map((chunk) => chunk.choices[0]?.text ?? "").join("");
  },

  async betaPrefix() {
    const answer = await beta.chat.completions.create({
      model, messages: [...messages, { role: "assistant", content: "```js\n", prefix: true }],
    });
    return answer.choices[0].message.content;
  },

  async responses() {
    const answer = await openai.responses.create({ model, input: "hi" });
    return { status: answer.status, text: answer.output_text, usage: answer.usage };
  },

  async responsesStream() {
    const events = await all(await openai.responses.create({ model, input: "hi", stream: true }));
    return {
      types: [events[0].type, events.at(-1).type],
      text: events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join(""),
    };
  },

  async models() {
    return (await all(await openai.models.list())).map((item) => item.id);
  },

  async embeddings() {
    const answer = await openai.embeddings.create({ model, input: ["a", "b"] });
    return answer.data.map((item) => item.embedding.length);
  },

  async files() {
    const file = await openai.files.create({ file: await toFile(Buffer.from("hello"), "note.txt"), purpose: "user_data" });
    const kept = await openai.files.retrieve(file.id);
    const text = await (await openai.files.content(file.id)).text();
    const gone = await openai.files.delete(file.id);
    return { name: kept.filename, bytes: kept.bytes, text, gone: gone.deleted };
  },

  async refused() {
    try {
      await openai.chat.completions.create({ model: "no-such-model", messages });
    } catch (error) {
      return { name: error.constructor.name, status: error.status, code: error.code, type: error.type, param: error.param };
    }
  },

  async stranger() {
    const other = new OpenAI({ baseURL: `${ABYSSAL_URL}/v1`, apiKey: "sk-wrong", maxRetries: 0 });
    try {
      await other.models.list();
    } catch (error) {
      return { name: error.constructor.name, status: error.status };
    }
  },

  async brokenStream() {
    try {
      await all(await openai.chat.completions.create({ model, messages, stream: true }));
    } catch (error) {
      return { isApiError: error instanceof OpenAI.APIError, message: error.message };
    }
  },

  async messages() {
    const answer = await anthropic.messages.create({ model, max_tokens: 50, messages });
    return { content: answer.content, stop: answer.stop_reason, usage: answer.usage };
  },

  async messagesStream() {
    const stream = anthropic.messages.stream({ model, max_tokens: 50, messages });
    const seen = [];
    stream.on("text", (text) => seen.push(text));
    const answer = await stream.finalMessage();
    return { seen, text: answer.content.find((block) => block.type === "text").text, stop: answer.stop_reason };
  },

  async messagesTool() {
    const answer = await anthropic.messages.create({
      model, max_tokens: 50, messages, tools: [{ name: "get_weather", input_schema: city }],
    });
    return { stop: answer.stop_reason, tool: answer.content.find((block) => block.type === "tool_use") };
  },

  async countTokens() {
    return await anthropic.messages.countTokens({ model, messages });
  },

  async messagesRefused() {
    try {
      await anthropic.messages.create({ model, max_tokens: 0, messages });
    } catch (error) {
      return { name: error.constructor.name, status: error.status, type: error.error?.error?.type };
    }
  },
};

const chosen = cases[process.argv[2]];
if (chosen === undefined) {
  console.error(`There is no case "${process.argv[2]}"; there are ${Object.keys(cases).join(", ")}.`);
  process.exit(2);
}
console.log(JSON.stringify(await chosen()) ?? "null");

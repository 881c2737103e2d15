"""The messages of `abyssal_v1.proto` as tables. A test holds both against each other, field by field."""

from __future__ import annotations

from abyssal.wire.protobuf.fields import (
    Message,
    Names,
    a_list,
    double,
    flag,
    integer,
    json,
    message,
    messages,
    numbers_by_name,
    octets,
    one_of,
    string,
)

# ---- lists, and what all answers share -----------------------------------------------------------------

STRING_LIST = Message("StringList", string(1, "values", repeated=True), wraps=True)
TOKEN_LIST = Message("TokenList", integer(1, "values", repeated=True), wraps=True)
TOKEN_LISTS = Message("TokenLists", messages(1, "values", TOKEN_LIST), wraps=True)
DOUBLE_LIST = Message("DoubleList", double(1, "values", repeated=True), wraps=True)
LOGPROB_MAP = Message("LogprobMap", numbers_by_name(1, "values"), wraps=True)

OBJECT_TYPE = Names(
    "ObjectType",
    "OBJECT_TYPE_",
    "chat.completion",
    "chat.completion.chunk",
    "text_completion",
    "list",
    "embedding",
)

PROMPT_DETAILS = Message("PromptTokensDetails", integer(1, "cached_tokens"))
COMPLETION_DETAILS = Message("CompletionTokensDetails", integer(1, "reasoning_tokens"))
USAGE = Message(
    "Usage",
    integer(1, "prompt_tokens"),
    integer(2, "completion_tokens"),
    integer(3, "total_tokens"),
    integer(4, "prompt_cache_hit_tokens"),
    integer(5, "prompt_cache_miss_tokens"),
    message(6, "prompt_tokens_details", PROMPT_DETAILS),
    message(7, "completion_tokens_details", COMPLETION_DETAILS),
)
STREAM_OPTIONS = Message("StreamOptions", flag(1, "include_usage"))
THINKING = Message("Thinking", string(1, "type"))

# ---- chat ----------------------------------------------------------------------------------------------

ROLE = Names("Role", "ROLE_", "system", "user", "assistant", "tool", "developer", "function")
PART_TYPE = Names("PartType", "PART_TYPE_", "text", "image_url", "file")
TOOL_TYPE = Names("ToolType", "TOOL_TYPE_", "function")

IMAGE_URL = Message("ImageUrl", string(1, "url"), string(2, "detail"))
FILE = Message("File", string(1, "file_id"), string(2, "filename"), string(3, "file_data"))
PART = Message(
    "Part",
    one_of(1, "type", PART_TYPE),
    string(2, "text"),
    message(3, "image_url", IMAGE_URL),
    message(4, "file", FILE),
)
PART_LIST = Message("PartList", messages(1, "parts", PART), wraps=True)
FUNCTION_CALL = Message("FunctionCall", string(1, "name"), string(2, "arguments"))
TOOL_CALL = Message(
    "ToolCall",
    string(1, "id"),
    one_of(2, "type", TOOL_TYPE),
    message(3, "function", FUNCTION_CALL),
    integer(4, "index"),
)
MESSAGE = Message(
    "Message",
    one_of(1, "role", ROLE),
    string(2, "content"),
    a_list(3, "content", PART_LIST, "content_parts"),
    string(4, "reasoning_content"),
    messages(5, "tool_calls", TOOL_CALL),
    string(6, "tool_call_id"),
    string(7, "name"),
    flag(8, "prefix"),
    message(9, "function_call", FUNCTION_CALL),
)
FUNCTION = Message(
    "Function", string(1, "name"), string(2, "description"), json(3, "parameters"), flag(4, "strict")
)
TOOL = Message("Tool", one_of(1, "type", TOOL_TYPE), message(2, "function", FUNCTION))
RESPONSE_FORMAT = Message("ResponseFormat", string(1, "type"), json(2, "json_schema"))

CHAT_REQUEST = Message(
    "ChatRequest",
    string(1, "model"),
    messages(2, "messages", MESSAGE),
    flag(3, "stream"),
    message(4, "stream_options", STREAM_OPTIONS),
    integer(5, "max_tokens"),
    integer(6, "max_completion_tokens"),
    double(7, "temperature"),
    double(8, "top_p"),
    integer(9, "n"),
    string(10, "stop"),
    a_list(11, "stop", STRING_LIST, "stop_list"),
    double(12, "frequency_penalty"),
    double(13, "presence_penalty"),
    flag(14, "logprobs"),
    integer(16, "top_logprobs"),
    numbers_by_name(17, "logit_bias"),
    integer(18, "seed"),
    message(19, "thinking", THINKING),
    string(20, "reasoning_effort"),
    message(21, "response_format", RESPONSE_FORMAT),
    messages(22, "tools", TOOL),
    string(23, "tool_choice"),
    json(24, "tool_choice", "tool_choice_object"),
    messages(25, "functions", FUNCTION),
    string(26, "function_call"),
    json(27, "function_call", "function_call_object"),
    flag(28, "parallel_tool_calls"),
    string(29, "user_id"),
    string(30, "user"),
    string(31, "language"),
    integer(32, "context_window"),
    string(33, "conversation_id"),
    json(34, "cache"),
    string(35, "experiment"),
)

TOP_LOGPROB = Message("TopLogprob", string(1, "token"), double(2, "logprob"), octets(3, "bytes", "utf8"))
TOKEN_LOGPROB = Message(
    "TokenLogprob",
    string(1, "token"),
    double(2, "logprob"),
    octets(3, "bytes", "utf8"),
    messages(4, "top_logprobs", TOP_LOGPROB),
)
LOGPROBS = Message(
    "Logprobs", messages(1, "content", TOKEN_LOGPROB), messages(2, "reasoning_content", TOKEN_LOGPROB)
)


def _choice(name: str, said: str) -> Message:
    return Message(
        name,
        integer(1, "index"),
        message(2, said, MESSAGE),
        string(3, "finish_reason"),
        message(4, "logprobs", LOGPROBS),
    )


def _answer(name: str, choice: Message) -> Message:
    return Message(
        name,
        string(1, "id"),
        one_of(2, "object", OBJECT_TYPE),
        integer(3, "created"),
        string(4, "model"),
        messages(5, "choices", choice),
        message(6, "usage", USAGE),
        string(7, "system_fingerprint"),
        string(8, "conversation_id"),
    )


CHOICE, CHUNK_CHOICE = _choice("Choice", "message"), _choice("ChunkChoice", "delta")
CHAT_COMPLETION, CHAT_CHUNK = _answer("ChatCompletion", CHOICE), _answer("ChatChunk", CHUNK_CHOICE)

# ---- completions and the text routes -------------------------------------------------------------------

COMPLETION_REQUEST = Message(
    "CompletionRequest",
    string(1, "model"),
    string(2, "prompt"),
    a_list(3, "prompt", STRING_LIST, "prompt_list"),
    string(4, "suffix"),
    flag(5, "echo"),
    integer(6, "max_tokens"),
    double(7, "temperature"),
    double(8, "top_p"),
    integer(9, "n"),
    string(10, "stop"),
    a_list(11, "stop", STRING_LIST, "stop_list"),
    double(12, "frequency_penalty"),
    double(13, "presence_penalty"),
    integer(14, "logprobs"),
    flag(16, "stream"),
    message(17, "stream_options", STREAM_OPTIONS),
    numbers_by_name(18, "logit_bias"),
    integer(19, "seed"),
    integer(20, "best_of"),
    message(21, "thinking", THINKING),
    string(22, "reasoning_effort"),
    string(23, "user_id"),
    string(24, "user"),
    string(25, "language"),
    integer(26, "context_window"),
    string(27, "conversation_id"),
)
TEXT_LOGPROBS = Message(
    "TextLogprobs",
    string(1, "tokens", repeated=True),
    double(2, "token_logprobs", repeated=True),
    messages(3, "top_logprobs", LOGPROB_MAP),
    integer(4, "text_offset", repeated=True),
)
COMPLETION_CHOICE = Message(
    "CompletionChoice",
    integer(1, "index"),
    string(2, "text"),
    string(3, "finish_reason"),
    message(4, "logprobs", TEXT_LOGPROBS),
    string(5, "reasoning"),
)
COMPLETION = _answer("Completion", COMPLETION_CHOICE)

# ---- embeddings ----------------------------------------------------------------------------------------

EMBEDDING_REQUEST = Message(
    "EmbeddingRequest",
    string(1, "model"),
    string(2, "input"),
    a_list(3, "input", STRING_LIST, "input_list"),
    a_list(4, "input", TOKEN_LIST, "input_tokens"),
    a_list(5, "input", TOKEN_LISTS, "input_token_lists"),
    integer(6, "dimensions"),
    string(7, "encoding_format"),
    string(8, "user"),
)
EMBEDDING = Message(
    "Embedding",
    one_of(1, "object", OBJECT_TYPE),
    integer(2, "index"),
    message(3, "embedding", DOUBLE_LIST),
    string(4, "embedding", "embedding_base64"),
)
EMBEDDING_LIST = Message(
    "EmbeddingList",
    one_of(1, "object", OBJECT_TYPE),
    messages(2, "data", EMBEDDING),
    string(3, "model"),
    message(4, "usage", USAGE),
    string(5, "id"),
    integer(6, "created"),
)

# ---- streams and errors --------------------------------------------------------------------------------

ERROR = Message("Error", string(1, "message"), string(2, "type"), string(3, "param"), string(4, "code"))
DONE = Message("Done", extra=False)
STREAM_EVENT = Message(
    "StreamEvent",
    message(1, "chat", CHAT_CHUNK),
    message(2, "completion", COMPLETION),
    message(3, "error", ERROR),
    message(4, "done", DONE),
    string(5, "id"),
    extra=False,
)

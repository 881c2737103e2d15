"""The answer of a completion, from the official chat answer: `choices[].{text,index,logprobs,finish_reason}`.

1. A choice's `text` is what the model said; what it thought stands apart, in `reasoning`, where there is any.
2. With `echo` the prompt stands before the text of every choice, in a stream in its first event.
3. `logprobs` have the older shape, four lists side by side; `text_offset` counts characters from the start of
   `text`, over the whole of a stream.
4. A stream's `usage` rides on the chunk that it came on; with `include_usage` the others say null.

Source: DeepSeek API, "Create FIM Completion"; OpenAI's "Create completion" for the shape of `logprobs`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk, ChunkChoice, TokenLogprob, Usage
from abyssal.wire.errors import ErrorBody, ErrorObject

_encode = msgspec.json.Encoder().encode
_NOTHING_YET = b',"logprobs":null,"finish_reason":null}'


class TextLogprobs(msgspec.Struct):
    """Log probabilities of a text's tokens, side by side."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class TextChoice(msgspec.Struct):
    """One of the texts."""

    text: str
    index: int
    logprobs: TextLogprobs | None
    finish_reason: str | None
    reasoning: str | msgspec.UnsetType = msgspec.UNSET


class TextCompletion(msgspec.Struct):
    """A whole answer, or one event of a stream."""

    id: str
    choices: list[TextChoice]
    created: int
    model: str
    system_fingerprint: str | msgspec.UnsetType = msgspec.UNSET
    object: str = "text_completion"
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET
    conversation_id: str | msgspec.UnsetType | None = msgspec.UNSET


class CompletionWriter:
    """Writes one answer. `model` is the name that was asked for; `prompt` what to repeat, "" for nothing.

    `conversation` is the id that every answer and event has, null for None, left out for UNSET.
    """

    __slots__ = ("_conversation", "_end", "_head", "_model", "_offsets", "_prompt", "_rivals", "_usage")

    def __init__(
        self,
        model: str,
        *,
        prompt: str,
        rivals: int,
        usage: bool,
        conversation: str | msgspec.UnsetType | None = msgspec.UNSET,
    ) -> None:
        self._conversation = conversation
        self._model = model
        self._prompt = prompt
        self._rivals = rivals  # how many a token's `top_logprobs` were asked for
        self._usage = usage  # every chunk has one
        self._end = b',"usage":null}\n\n' if usage else b"}\n\n"
        self._head = b""  # of every event of this stream, up to a choice's text
        self._offsets: dict[int, int] = {}  # characters of text so far, by choice; one that began is here

    def answer(self, completion: ChatCompletion) -> bytes:
        """A whole answer, JSON."""
        choices: list[TextChoice] = []
        for choice in completion.choices:
            message, logprobs = choice.message, None
            if choice.logprobs is not None and choice.logprobs.content is not None:
                logprobs = self._logprobs(choice.logprobs.content, len(self._prompt))
            text = self._prompt + (message.content or "")
            reasoning = message.reasoning_content or msgspec.UNSET
            choices.append(TextChoice(text, choice.index, logprobs, choice.finish_reason, reasoning))
        return _encode(
            TextCompletion(
                _id(completion.id),
                choices,
                completion.created,
                completion.model or self._model,
                completion.system_fingerprint or msgspec.UNSET,
                usage=completion.usage if completion.usage is not None else msgspec.UNSET,
                conversation_id=self._conversation,
            )
        )

    def chunk(self, chunk: ChatCompletionChunk) -> bytes:
        """The event of a chunk, or nothing where it adds nothing to a text."""
        if len(chunk.choices) == 1 and chunk.usage is None:
            choice = chunk.choices[0]
            delta, index = choice.delta, choice.index
            if choice.finish_reason is None and choice.logprobs is None and index in self._offsets:
                if delta.content:  # nearly every chunk is of this kind
                    self._offsets[index] += len(delta.content)
                    return b'%b%b,"index":%d%b]%b' % (
                        self._head,
                        _encode(delta.content),
                        index,
                        _NOTHING_YET,
                        self._end,
                    )
                if not delta.reasoning_content:
                    return b""
        return self._rare_chunk(chunk)

    def end(self) -> bytes:
        """The end of a stream that ended well."""
        return b"data: [DONE]\n\n"

    def broken(self, error: ErrorObject) -> bytes:
        """An error as the last event of a stream."""
        return b"data: %b\n\n" % _encode(ErrorBody(in_prompt_s_words(error)))

    def _rare_chunk(self, chunk: ChatCompletionChunk) -> bytes:
        completion = TextCompletion(
            _id(chunk.id),
            [made for choice in chunk.choices if (made := self._choice(choice)) is not None],
            chunk.created,
            chunk.model or self._model,
            chunk.system_fingerprint or msgspec.UNSET,
            usage=chunk.usage if chunk.usage is not None else None if self._usage else msgspec.UNSET,
            conversation_id=self._conversation,
        )
        if not self._head:
            self._head = _head_of(completion)
        if not completion.choices and chunk.usage is None:
            return b""
        return b"data: %b\n\n" % _encode(completion)

    def _choice(self, choice: ChunkChoice) -> TextChoice | None:
        delta, index = choice.delta, choice.index
        said, thought = delta.content or "", delta.reasoning_content
        begins = index not in self._offsets
        offset = len(self._prompt) if begins else self._offsets[index]
        text = self._prompt + said if begins else said
        self._offsets[index] = offset + len(said)
        logprobs = None
        if choice.logprobs is not None and choice.logprobs.content:
            logprobs = self._logprobs(choice.logprobs.content, offset)
        if not (text or thought or logprobs or choice.finish_reason):
            return None
        return TextChoice(text, index, logprobs, choice.finish_reason, thought or msgspec.UNSET)

    def _logprobs(self, tokens: Sequence[TokenLogprob], offset: int) -> TextLogprobs:
        made = TextLogprobs([], [], [] if self._rivals else None, [])
        for token in tokens:
            made.tokens.append(token.token)
            made.token_logprobs.append(token.logprob)
            made.text_offset.append(offset)
            if made.top_logprobs is not None:
                made.top_logprobs.append({rival.token: rival.logprob for rival in token.top_logprobs or ()})
            offset += len(token.token)
        return made


def in_prompt_s_words(error: ErrorObject) -> ErrorObject:
    """`error` with its `param` named as a completion request names it."""
    param = error.param
    if param is None:
        return error
    if param == "messages" or param.startswith("messages["):
        return msgspec.structs.replace(error, param="prompt")
    return msgspec.structs.replace(error, param="logprobs") if param == "top_logprobs" else error


def _id(chat_id: str) -> str:
    return "cmpl-" + chat_id.removeprefix("chatcmpl-").removeprefix("cmpl-")


def _head_of(completion: TextCompletion) -> bytes:
    """What comes before the text in each event of a stream; a stream's id and times stay as they begin."""
    first = msgspec.json.encode(
        {
            "id": completion.id,
            "object": completion.object,
            "created": completion.created,
            "model": completion.model,
        }
    )
    fingerprint = b""
    if completion.system_fingerprint is not msgspec.UNSET:
        fingerprint = b',"system_fingerprint":' + _encode(completion.system_fingerprint)
    conversation = b""
    if completion.conversation_id is not msgspec.UNSET:
        conversation = b',"conversation_id":' + _encode(completion.conversation_id)
    return b'data: %b%b%b,"choices":[{"text":' % (first[:-1], fingerprint, conversation)

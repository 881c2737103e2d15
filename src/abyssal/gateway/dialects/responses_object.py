"""The response object of the Responses format, and the items of its output, from an official chat answer.

1. What a response is called comes from the upstream's answer (`resp_` and its id); an upstream that gives no
   id leaves it to a digest of the request.
2. An answer cut short is `incomplete` and says why; one that the upstream gave up is `failed`. Of its items
   only the last is incomplete.
3. Fields of the request are said back, encoded once; what was not asked is said as this format has it by
   default. Times are Unix seconds; 0 where the upstream tells none.

Source: OpenAI API, "The response object"; the Open Responses specification for which fields must be there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from abyssal.gateway.dialects.responses_request import ResponsesRequest, TextFormat
from abyssal.wire.chat import ChatCompletion, Message, TokenLogprob, Usage
from abyssal.wire.errors import ErrorObject

_encode = msgspec.json.Encoder().encode
_NOT_IN_IDS = re.compile(r"[^0-9A-Za-z]+")
_LONGEST_ID = 64  # characters
_TEXT_FORMAT = TextFormat("text")


class OutputText(msgspec.Struct, tag_field="type", tag="output_text"):
    """`logprobs` as `logprobs_of` gives them."""

    text: str
    annotations: list[Any] = []
    logprobs: list[dict[str, Any]] = []


class ReasoningText(msgspec.Struct, tag_field="type", tag="reasoning_text"):
    text: str


class MessageItem(msgspec.Struct, tag_field="type", tag="message"):
    id: str
    status: str
    content: list[OutputText]
    role: str = "assistant"


class ReasoningItem(msgspec.Struct, tag_field="type", tag="reasoning"):
    id: str
    status: str
    content: list[ReasoningText]
    summary: list[Any] = []


class FunctionCallItem(msgspec.Struct, tag_field="type", tag="function_call"):
    id: str
    status: str
    call_id: str
    name: str
    arguments: str


OutputItem = MessageItem | ReasoningItem | FunctionCallItem


class Outcome(NamedTuple):
    """How an answer ended: a response's status, and why where it is not `completed`."""

    status: str
    incomplete: str | None = None
    error: ErrorObject | None = None

    @property
    def item_status(self) -> str:
        """The status of the item that was being written then."""
        return "completed" if self.status == "completed" else "incomplete"


COMPLETED = Outcome("completed")
_GIVEN_UP = "The upstream gave the answer up ({}); send the request again."
_OUTCOMES = {
    "length": Outcome("incomplete", incomplete="max_output_tokens"),
    "content_filter": Outcome("incomplete", incomplete="content_filter"),
} | {
    reason: Outcome(
        "failed", error=ErrorObject(_GIVEN_UP.format(reason), "server_error", code="server_error")
    )
    for reason in ("insufficient_system_resource", "aborted")
}


def outcome_of(finish_reason: str | None) -> Outcome:
    """The outcome for a chat answer's `finish_reason`."""
    return _OUTCOMES.get(finish_reason or "", COMPLETED)


class ResponseObject:
    """Writes the response of one request, as often as asked for."""

    def __init__(self, request: ResponsesRequest, body: bytes, now: Callable[[], int] | None = None) -> None:
        self._request = request
        self._body = body
        self._now = now  # Unix seconds; without it an answer is complete when it was begun
        self._created = 0
        self._said_back: bytes | None = None
        self._opening = b""
        self.key = ""
        """What its items' ids are made of."""

    def name(self, upstream_id: str, created: int, model: str) -> None:
        """Take the identity of the upstream's answer; `created` in Unix seconds."""
        key = _NOT_IN_IDS.sub("", upstream_id.removeprefix("chatcmpl-"))[:_LONGEST_ID]
        self.key = key or blake2b(self._body, digest_size=16).hexdigest()
        self._created = created
        self._opening = b'{"id":"resp_%b","object":"response","created_at":%d,"model":%b' % (
            self.key.encode(), created, _encode(model or self._request.model),
        )  # fmt: skip

    def written(self, outcome: Outcome, output: list[bytes], usage: Usage | None) -> bytes:
        """The object as JSON; `output` are its items."""
        if self._said_back is None:
            self._said_back = _said_back(self._request)
        error, reason = outcome.error, outcome.incomplete
        completed = b"null"
        if outcome.status == "completed":
            completed = b"%d" % (self._created if self._now is None else self._now())
        return (
            b'%b,"status":"%b","completed_at":%b,"error":%b,"incomplete_details":%b,"output":[%b],"usage":%b,%b'
            % (
                self._opening,
                outcome.status.encode(),
                completed,
                b"null" if error is None else _encode(error_fields(error)),
                b"null" if reason is None else b'{"reason":"%b"}' % reason.encode(),
                b",".join(output),
                b"null" if usage is None else _encode(usage_fields(usage)),
                self._said_back,
            )
        )

    def whole(self, completion: ChatCompletion) -> bytes:
        """The response for a whole chat answer."""
        self.name(completion.id, completion.created, completion.model)
        if not completion.choices:
            lost = ErrorObject("The upstream's answer is empty; send the request again.", code="server_error")
            return self.written(Outcome("failed", error=lost), [], completion.usage)
        choice = completion.choices[0]
        outcome = outcome_of(choice.finish_reason)
        logprobs = choice.logprobs and choice.logprobs.content
        items = self._items(choice.message, logprobs_of(logprobs), outcome)
        return self.written(outcome, [_encode(item) for item in items], completion.usage)

    def _items(self, message: Message, logprobs: list[dict[str, Any]], outcome: Outcome) -> list[OutputItem]:
        items: list[OutputItem] = []
        if message.reasoning_content:
            thought = [ReasoningText(message.reasoning_content)]
            items.append(ReasoningItem(f"rs_{self.key}_0", "completed", thought))
        if message.content or (not message.tool_calls and outcome is COMPLETED):
            said = [OutputText(message.content or "", logprobs=logprobs)]
            items.append(MessageItem(f"msg_{self.key}_{len(items)}", "completed", said))
        taken: set[str] = set()
        for call in message.tool_calls or ():
            at = len(items)
            items.append(
                FunctionCallItem(
                    f"fc_{self.key}_{at}",
                    "completed",
                    call_id_of(call.id, f"call_{self.key}_{at}", taken),
                    call.function.name,
                    call.function.arguments,
                )
            )
        if items:
            items[-1].status = outcome.item_status
        return items


def call_id_of(given: str | None, otherwise: str, taken: set[str]) -> str:
    """A call's id, in no other call of the response: clients tell calls apart by it alone."""
    found = given if given and given not in taken else otherwise
    taken.add(found)
    return found


def error_fields(error: ErrorObject) -> dict[str, str]:
    """`error` of a failed response."""
    return {"code": "server_error" if error.code is None else str(error.code), "message": error.message}


def usage_fields(usage: Usage) -> dict[str, Any]:
    """`usage` of a response, in tokens."""
    cached, details = usage.prompt_cache_hit_tokens, usage.prompt_tokens_details
    if cached is None and details is not None:
        cached = details.cached_tokens
    spent = usage.completion_tokens_details
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": cached or 0, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": (spent and spent.reasoning_tokens) or 0},
        "total_tokens": usage.total_tokens or usage.prompt_tokens + usage.completion_tokens,
    }


def logprobs_of(given: list[TokenLogprob] | None) -> list[dict[str, Any]]:
    """Log probabilities of a text's tokens; the format wants every field."""
    return [
        {
            "token": token.token,
            "bytes": token.bytes or [],
            "logprob": token.logprob,
            "top_logprobs": [
                {"token": rival.token, "bytes": rival.bytes or [], "logprob": rival.logprob}
                for rival in token.top_logprobs or ()
            ],
        }
        for token in given or ()
    ]


def _said_back(request: ResponsesRequest) -> bytes:
    """The end of the object: what was asked, without the opening brace."""
    parallel = request.parallel_tool_calls
    said = _encode(
        {
            "background": False,
            "frequency_penalty": request.frequency_penalty or 0,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "max_tool_calls": request.max_tool_calls,
            "metadata": request.metadata or {},
            "parallel_tool_calls": True if parallel is None else parallel,
            "presence_penalty": request.presence_penalty or 0,
            "previous_response_id": None,
            "prompt_cache_key": request.prompt_cache_key,
            "reasoning": {"effort": request.reasoning and request.reasoning.effort, "summary": None},
            "safety_identifier": request.safety_identifier,
            "service_tier": "default",
            "store": False,
            "temperature": 1 if request.temperature is None else request.temperature,
            "text": {"format": (request.text and request.text.format) or _TEXT_FORMAT},
            "tool_choice": request.tool_choice or "auto",
            "tools": request.tools or [],
            "top_logprobs": request.top_logprobs or 0,
            "top_p": 1 if request.top_p is None else request.top_p,
            "truncation": "disabled",
            "user": request.user,
        }
    )
    return said[1:]

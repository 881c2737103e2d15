"""The stage *mend*: which repairs a call gets, from its decoded request and its upstream's profile.

1. What the request needs is repaired here, before its upstream is asked; what the answer may need is put
   into `exchange.mending`, which the relay holds every answer against.
2. A call that needs nothing costs a few comparisons: nothing is decoded that is not repaired.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from abyssal.gateway.exchange import Exchange, Review
from abyssal.gateway.repairs.empty_json import EmptyJsonReview
from abyssal.gateway.repairs.events import Fields
from abyssal.gateway.repairs.flat_content import flatten, has_parts
from abyssal.gateway.repairs.json_schema import SchemaReview, in_words, validator_of
from abyssal.gateway.repairs.leaked_tool_calls import NAME as LEAKED
from abyssal.gateway.repairs.leaked_tool_calls import LeakedToolCalls
from abyssal.gateway.repairs.legacy_functions import LegacyAnswer, as_tools, is_legacy
from abyssal.gateway.repairs.mending import MakeMender, Mending
from abyssal.gateway.repairs.reasoning_content import Learner, put_back
from abyssal.gateway.repairs.reasoning_memory import ReasoningMemory
from abyssal.gateway.repairs.strict_tools import StrictReview, check_strict, has_strict, validators_of
from abyssal.gateway.repairs.strictness import check_ignored, wants_strictness
from abyssal.gateway.repairs.switches import Repair
from abyssal.gateway.repairs.thinking_tool_choice import forces_a_call, without_thinking
from abyssal.gateway.repairs.tools_as_functions import ToolAnswer, as_functions
from abyssal.gateway.upstreams.upstream import Profile
from abyssal.wire.chat_request import ChatRequest, ResponseFormat, parse_chat_request

_FLAT: Repair = "flat_content"
_top_level = msgspec.json.Decoder(dict[str, msgspec.Raw])
_messages = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class Mend:
    """See the module. `memory` is the worker's."""

    def __init__(self, memory: ReasoningMemory) -> None:
        self._memory = memory

    def mend(self, exchange: Exchange, profile: Profile) -> None:
        """Repair the request of `exchange`, and set what its answer is to be repaired with."""
        request = exchange.request
        if type(request) is not ChatRequest:
            return  # only chats are repaired
        if exchange.head.asks is not None and wants_strictness(exchange.head):
            check_ignored(request, exchange.body, profile)
        if exchange.native is not None:
            return
        repairs = profile.repairs
        legacy = "legacy_functions" in repairs and is_legacy(request)
        if not legacy and request.tools is None and request.response_format is None and _FLAT not in repairs:
            return
        menders: list[MakeMender] = []
        reviews: list[Callable[[], Review]] = []
        if legacy:
            if request.functions is not None and request.tools is None:
                menders.append(lambda _: LegacyAnswer())
            draft = _Draft(exchange)
            if as_tools(draft.fields, draft.messages, request):
                request = draft.finish("legacy_functions")
        if request.tools is not None:
            if exchange.route == "beta chat":
                check_strict(request)
            if (
                has_strict(request)
                and "strict_tools" in repairs
                and exchange.route not in profile.strict_routes
            ):
                validators = validators_of(request)
                reviews.append(lambda: StrictReview(validators))
            request = self._mend_tools(exchange, request, repairs, menders)
        if _FLAT in repairs and has_parts(request):
            draft = _Draft(exchange)
            if flatten(draft.messages):
                draft.finish(_FLAT)
        form = request.response_format
        if form is not None and form.type != "text":
            self._mend_format(exchange, form, repairs, reviews)
        if menders or reviews:
            exchange.mending = Mending(menders, reviews)

    def _mend_format(
        self,
        exchange: Exchange,
        form: ResponseFormat,
        repairs: frozenset[Repair],
        reviews: list[Callable[[], Review]],
    ) -> None:
        if form.type == "json_schema" and "json_schema" in repairs:
            validator = validator_of(form)
            draft = _Draft(exchange)
            in_words(draft.fields, draft.messages, form)
            draft.finish("json_schema")
            reviews.append(lambda: SchemaReview(validator))
        elif "empty_json" in repairs:
            reviews.append(EmptyJsonReview)

    def _mend_tools(
        self,
        exchange: Exchange,
        request: ChatRequest,
        repairs: frozenset[Repair],
        menders: list[MakeMender],
    ) -> ChatRequest:
        draft = _Draft(exchange)
        if "thinking_tool_choice" in repairs and forces_a_call(request):
            without_thinking(draft.fields)
            request = draft.finish("thinking_tool_choice")
        elif "reasoning_content" in repairs and (
            request.thinking is None or request.thinking.type == "enabled"
        ):
            assert exchange.principal is not None
            memory, tenant = self._memory, exchange.principal.credential.project.id
            if put_back(draft.messages, lambda digest: memory.recall(tenant, digest)):
                request = draft.finish("reasoning_content")
            menders.insert(0, lambda _: Learner(lambda digest, text: memory.remember(tenant, digest, text)))
        if "tools_as_functions" in repairs and as_functions(draft.fields, draft.messages, request):
            request = draft.finish("tools_as_functions")
            menders.insert(0, lambda _: ToolAnswer(f"call_00_{exchange.id}"))
        if "leaked_tool_calls" in repairs:
            functions = frozenset(tool.function.name for tool in request.tools or ())
            menders.insert(0, lambda attempt: _leaked(attempt, functions))
        return request


def _leaked(attempt: Exchange, functions: frozenset[str]) -> LeakedToolCalls:
    def told() -> None:
        attempt.repairs += (LEAKED,)

    return LeakedToolCalls(functions, lambda place: f"call_{place:02d}_{attempt.id}", told)


class _Draft:
    """A request while it is repaired; values that nothing touches keep their bytes."""

    __slots__ = ("_exchange", "_fields", "_messages")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._fields: Fields | None = None
        self._messages: list[msgspec.Raw] | None = None

    @property
    def fields(self) -> Fields:
        """The top level."""
        if self._fields is None:
            self._fields = dict(_top_level.decode(self._exchange.body))
        return self._fields

    @property
    def messages(self) -> list[msgspec.Raw]:
        """Each message, to be replaced in place."""
        if self._messages is None:
            self._messages = _messages.decode(self.fields["messages"])
        return self._messages

    def finish(self, name: Repair) -> ChatRequest:
        """The repair `name` was made: what the exchange carries from here on."""
        fields, exchange = self.fields, self._exchange
        if self._messages is not None:
            fields["messages"] = self._messages
        exchange.body = _encode(fields)
        exchange.request = parse_chat_request(exchange.body)
        if name not in exchange.repairs:
            exchange.repairs += (name,)
        return exchange.request

"""The blocking client."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from abyssal.client import defaults
from abyssal.client.answer import RawResponse, parse_json
from abyssal.client.core import ClientCore, WireFormat
from abyssal.client.credentials.choice import Auth, choose_credential
from abyssal.client.params import ChatOptions, MessageParam, ToolOptions
from abyssal.client.settings import (
    NO_WEBSOCKETS,
    BaseUrl,
    checked_pool_size,
    goes_over_proxy,
    resolve_base_url,
)
from abyssal.client.sync_calls import Caller
from abyssal.client.sync_chat import Chat, Models
from abyssal.client.timeout import Timeout
from abyssal.client.transport import Transport
from abyssal.clock import Clock, SystemClock
from abyssal.wire.errors import ConfigurationError

if TYPE_CHECKING:  # loaded when they are used
    from abyssal.client.conversation_params import ConversationParams
    from abyssal.client.sockets.params import SocketParams
    from abyssal.client.sync_conversations import Conversations
    from abyssal.client.sync_files import Files
    from abyssal.client.sync_session import Session
    from abyssal.client.sync_sockets import Sockets, SocketStream
    from abyssal.client.sync_text import Embeddings, Text, TextCompletions
    from abyssal.client.tools.steps import ToolRun


class DeepSeekClient:
    """Calls a DeepSeek-compatible service: the local platform, the official one, any other.

    As whom: by an API key (`api_key`: else ABYSSAL_API_KEY, else DEEPSEEK_API_KEY); by access tokens that it
    fetches and renews (`client_id`, `client_secret`); by tokens that it signs itself (the same, with
    `auth="jwt"`); by a signature over each request (`key_id`, `secret`). Where to: `base_url` or `api_base`,
    else ABYSSAL_BASE_URL, else DEEPSEEK_BASE_URL, else the platform on this machine. `timeout`: a Timeout or
    seconds. `max_retries`: of 408, 409, 429, 5xx and connection faults. `pool_size`: connections at once,
    twice the CPU cores if not given. `wire_format`: "protobuf" lets chats, completions and embeddings travel
    as that, where the service can. `transport`: another way to send, see `abyssal.client.transport`.
    Raises ConfigurationError for what is missing or unusable. One client serves any number of threads.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        key_id: str | None = None,
        secret: str | None = None,
        auth: Auth | None = None,
        base_url: str | None = None,
        api_base: str | None = None,
        timeout: Timeout | float | None = None,
        max_retries: int = defaults.MAX_RETRIES,
        pool_size: int | None = None,
        wire_format: WireFormat = "json",
        transport: Transport | None = None,
        _clock: Clock | None = None,
        _sleep: Callable[[float], None] = time.sleep,
        _dice: Callable[[], float] = random.random,
    ) -> None:
        base = resolve_base_url(os.environ, base_url=base_url, api_base=api_base)
        proofs = {"api_key": api_key, "client_id": client_id, "client_secret": client_secret}
        proofs |= {"key_id": key_id, "secret": secret}
        credential = choose_credential(os.environ, base, auth, proofs)
        core = ClientCore(
            base,
            credential,
            timeout=timeout,
            max_retries=max_retries,
            wire_format=wire_format,
            clock=_clock or SystemClock(),
            dice=_dice,
        )
        self._pool_size = checked_pool_size(pool_size, os.cpu_count())
        if transport is None:
            transport = _transport_to(base, self._pool_size)
        self._set_up(Caller(core, transport, _sleep))

    def _set_up(self, caller: Caller) -> None:
        self._caller = caller
        self.chat = Chat(caller)
        self.models = Models(caller)
        self._open_sockets: Sockets | None = None
        self._opening = threading.Lock()  # two first streams at once shall share them

    def with_options(
        self,
        *,
        timeout: Timeout | float | None = None,
        max_retries: int | None = None,
        wire_format: WireFormat | None = None,
    ) -> Self:
        """The same client with other settings; what is left out stays. It has the same connections.

        Closing either closes them for both. Raises ConfigurationError for what is unusable.
        """
        twin = object.__new__(type(self))
        twin._pool_size = self._pool_size
        core = self._caller.core.with_options(timeout, max_retries, wire_format)
        twin._set_up(self._caller.with_core(core))
        return twin

    @cached_property
    def completions(self) -> TextCompletions:
        """Text completions, also with a suffix: `completions.create`."""
        from abyssal.client.sync_text import TextCompletions

        return TextCompletions(self._caller)

    @cached_property
    def text(self) -> Text:
        """The platform's text routes: `text.generate` and `text.complete`."""
        from abyssal.client.sync_text import Text

        return Text(self._caller)

    @cached_property
    def embeddings(self) -> Embeddings:
        """Texts as vectors: `embeddings.create`."""
        from abyssal.client.sync_text import Embeddings

        return Embeddings(self._caller)

    @cached_property
    def conversations(self) -> Conversations:
        """Conversations that the platform keeps: create, list, retrieve, delete, export."""
        from abyssal.client.sync_conversations import Conversations

        return Conversations(self._caller)

    @cached_property
    def files(self) -> Files:
        """Stored files: `files.create`, `list`, `retrieve`, `content`, `delete`."""
        from abyssal.client.sync_files import Files

        return Files(self._caller)

    @property
    def base_url(self) -> str:
        """Where calls go, without a slash at its end."""
        return str(self._caller.core.base)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        extra_headers: Mapping[str, str] | None = None,
        timeout: Timeout | float | None = None,
    ) -> RawResponse[Any]:
        """Any request below the base URL, such as `request("GET", "/models")`; `json` is the body.

        Raises as `chat.completions.create` does, also for a bad status.
        """
        core = self._caller.core
        answer = self._caller.send(core.raw(method, path, json, extra_headers, timeout))
        return RawResponse(answer, parse_json, core.secret)

    def create_session(
        self,
        *,
        model: str,
        system_prompt: str | None = None,
        max_turns: int | None = None,
        server: bool = False,
        **options: Unpack[ChatOptions],
    ) -> Session:
        """A conversation; `options` (`temperature=`, ...) go with each message. Sends nothing.

        The client keeps the turns and sends them along; with `max_turns` only that many of the last ones, and
        the prompt always. With `server=True` the service keeps them, in a conversation that the first message
        begins, and with `conversation_id=` in that one: then only the new message is sent.
        Raises ConfigurationError or TypeError for arguments that cannot be used.
        """
        from abyssal.client.history import History, check_server_side
        from abyssal.client.sync_session import Session

        conversation_id = options.pop("conversation_id", None)
        elsewhere = check_server_side(conversation_id, system_prompt, max_turns, server=server)
        begin = None
        if elsewhere:
            begun: ConversationParams = {"system_prompt": system_prompt, "user_id": options.get("user_id")}
            begin = partial(self.conversations.create, **begun)
        return Session(
            self.chat.completions,
            model,
            History(system_prompt, max_turns, kept_elsewhere=elsewhere),
            options,
            conversation_id=conversation_id,
            begin=begin,
        )

    def stream(self, prompt: str | None = None, **params: Unpack[SocketParams]) -> SocketStream:
        """The answer to `prompt`, or to `messages=`, over WebSocket: an iterator of its pieces as they come.

        A socket that has answered is kept and asked again. Closing the stream before its end cancels the
        answer. The arguments are those of `abyssal.client.sockets.params.SocketParams`. Raises as
        `chat.completions.create` does; what may help is tried again before the first piece.
        """
        return self._sockets().stream(prompt, params)

    def run_tools(
        self,
        *,
        model: str,
        messages: Sequence[MessageParam],
        tools: Iterable[Callable[..., Any]],
        max_steps: int = 8,
        raise_tool_errors: bool = False,
        strict: bool = False,
        **options: Unpack[ToolOptions],
    ) -> ToolRun:
        """The model's answer to `messages`, with the Python functions `tools` at its hand.

        What it asks for is called, one after another, and it is asked again, at most `max_steps` times. Its
        tools' schemas come from signatures and docstrings. An error of a tool is told to the model, unless
        `raise_tool_errors`. `strict` holds the model to the schemas, where the service can. Raises as
        `chat.completions.create` does, ToolStepsError when the steps are used up, and ConfigurationError for
        a function that cannot be a tool.
        """
        from abyssal.client.sync_tools import run_steps
        from abyssal.client.tools.steps import ToolSteps

        steps = ToolSteps(
            model, messages, tools, max_steps, options, raise_errors=raise_tool_errors, strict=strict
        )
        return run_steps(self.chat.completions, steps)

    def close(self) -> None:
        """Lets go of the connections; a call after this is refused. Any number of times."""
        if self._open_sockets is not None:
            self._open_sockets.close()
        self._caller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _sockets(self) -> Sockets:
        with self._opening:
            if self._open_sockets is None:
                try:
                    from abyssal.client.sync_sockets import Sockets
                except ModuleNotFoundError as error:
                    raise ConfigurationError(NO_WEBSOCKETS) from error
                beside_proxy = goes_over_proxy(self._caller.core.base, os.environ)
                self._open_sockets = Sockets(self._caller, self._pool_size, beside_proxy=beside_proxy)
            return self._open_sockets

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"


def _transport_to(base: BaseUrl, pool_size: int) -> Transport:
    from abyssal.client.direct_sync import DirectTransport
    from abyssal.client.tls import has_trust_store

    if goes_over_proxy(base, os.environ) or (base.scheme == "https" and not has_trust_store()):
        from abyssal.client.pyreqwest_sync import PyreqwestTransport

        return PyreqwestTransport(base, pool_size)
    return DirectTransport(base, pool_size)

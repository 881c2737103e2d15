"""The two clients are one: the same names, arguments, types and words, but for `await`."""

from __future__ import annotations

import inspect
import re
from typing import Any, get_overloads

import pytest

from abyssal.client import (
    async_calls,
    async_chat,
    async_client,
    async_conversations,
    async_files,
    async_session,
    async_sockets,
    async_stream,
    async_text,
    direct_async,
    direct_sync,
    pyreqwest_async,
    pyreqwest_sync,
    sync_calls,
    sync_chat,
    sync_client,
    sync_conversations,
    sync_files,
    sync_session,
    sync_sockets,
    sync_stream,
    sync_text,
    transport,
)

PAIRS = [
    (sync_client.DeepSeekClient, async_client.AsyncDeepSeekClient),
    (sync_chat.Chat, async_chat.AsyncChat),
    (sync_chat.Completions, async_chat.AsyncCompletions),
    (sync_chat.RawCompletions, async_chat.AsyncRawCompletions),
    (sync_chat.Models, async_chat.AsyncModels),
    (sync_text.TextCompletions, async_text.AsyncTextCompletions),
    (sync_text.RawTextCompletions, async_text.AsyncRawTextCompletions),
    (sync_text.Text, async_text.AsyncText),
    (sync_text.Embeddings, async_text.AsyncEmbeddings),
    (sync_files.Files, async_files.AsyncFiles),
    (sync_stream.EventStream, async_stream.AsyncEventStream),
    (sync_session.Session, async_session.AsyncSession),
    (sync_session.SessionStream, async_session.AsyncSessionStream),
    (sync_conversations.Conversations, async_conversations.AsyncConversations),
    (sync_conversations.Export, async_conversations.AsyncExport),
    (sync_sockets.Sockets, async_sockets.AsyncSockets),
    (sync_sockets.SocketStream, async_sockets.AsyncSocketStream),
    (sync_calls.Caller, async_calls.AsyncCaller),
    (direct_sync.DirectTransport, direct_async.AsyncDirectTransport),
    (pyreqwest_sync.PyreqwestTransport, pyreqwest_async.AsyncPyreqwestTransport),
    (transport.Transport, transport.AsyncTransport),
    (transport.StreamedAnswer, transport.AsyncStreamedAnswer),
]
WAITING = {"create", "list", "request", "close", "send", "open", "read", "get_final_completion"}
WAITING |= {"send_message", "reply", "run_tools", "generate", "complete"}
WAITING |= {"stream", "begin", "attempt", "retrieve", "delete", "delete_all", "export", "content", "resume"}


def sync_words(text: str) -> str:
    """What an asyncio client's signature or docstring would be in the blocking one."""
    text = re.sub(r"\bAsync(?=[A-Z])", "", text)
    text = re.sub(r"<(built-in )?function sleep[^>]*>", "sleep", text)
    text = re.sub(r"Awaitable\[(\w+)\]", r"\1", text)
    return text.replace("__aexit__", "__exit__").replace("__aenter__", "__enter__")


def public(cls: type) -> dict[str, Any]:
    """Public members by their blocking names."""
    renamed = {"aclose": "close", "__aiter__": "__iter__", "__anext__": "__next__"}
    renamed |= {"__aenter__": "__enter__", "__aexit__": "__exit__"}
    found = {renamed.get(name, name): member for name, member in vars(cls).items()}
    wanted = set(renamed.values()) | {"__init__", "__repr__"}
    return {name: member for name, member in found.items() if not name.startswith("_") or name in wanted}


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_same_members_arguments_and_types(blocking: type, asynchronous: type) -> None:
    ours, theirs = public(blocking), public(asynchronous)
    assert ours.keys() == theirs.keys()
    for name, member in ours.items():
        if not inspect.isfunction(member):
            continue
        assert sync_words(str(inspect.signature(member))) == sync_words(
            str(inspect.signature(theirs[name]))
        ), name
        returned = str(inspect.signature(theirs[name]).return_annotation)
        waits = inspect.iscoroutinefunction(theirs[name]) or returned.startswith("Awaitable")
        assert waits == (name in WAITING or name in ("__next__", "__enter__", "__exit__")), name


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_same_words(blocking: type, asynchronous: type) -> None:
    ours, theirs = public(blocking), public(asynchronous)
    for name, member in ours.items():
        if inspect.isfunction(member) and member.__doc__:
            assert member.__doc__ == theirs[name].__doc__, name


@pytest.mark.parametrize(
    ("blocking", "asynchronous"),
    [
        (sync_chat.Completions.create, async_chat.AsyncCompletions.create),
        (sync_text.TextCompletions.create, async_text.AsyncTextCompletions.create),
        (sync_text.Text.generate, async_text.AsyncText.generate),
        (sync_text.Text.complete, async_text.AsyncText.complete),
        (sync_session.Session.send_message, async_session.AsyncSession.send_message),
    ],
)
def test_same_overloads(blocking: Any, asynchronous: Any) -> None:
    ours = get_overloads(blocking)
    theirs = get_overloads(asynchronous)
    assert len(ours) == 3
    for mine, other in zip(ours, theirs, strict=True):
        assert str(inspect.signature(mine)) == sync_words(str(inspect.signature(other)))

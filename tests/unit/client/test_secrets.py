"""A key is shown nowhere: in no repr, no error, no traceback's variables."""

from __future__ import annotations

import gc
import traceback

import pytest

from abyssal import AbyssalError, AsyncDeepSeekClient, DeepSeekClient

from .face import ASK, KEY, Face
from .raw_server import RawServer, answer


def test_no_repr_of_anything_reachable_shows_it(face: Face) -> None:
    client = face.client
    assert "base_url" in repr(client)
    core = client._caller.core
    call = core.chat(ASK, stream=False)
    things = [client, client.chat, client.chat.completions, client.models, client._caller, core, core.secret]
    things += [call, call.request(), call.endpoint, core.base, core.policy]
    for thing in things:
        assert KEY not in repr(thing), type(thing)
        assert KEY not in str(thing), type(thing)


@pytest.mark.parametrize("kind", [DeepSeekClient, AsyncDeepSeekClient])
def test_the_environments_key_is_not_shown_either(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABYSSAL_API_KEY", KEY)
    assert KEY not in repr(kind(base_url="http://127.0.0.1:1"))


@pytest.mark.parametrize(
    "way", ["sync-direct", "async-direct"]
)  # pyreqwest's requests have no repr after use
def test_no_traceback_shows_it_even_with_its_variables(server: RawServer, face: Face) -> None:
    server.will(answer(b"", 401), lambda peer: peer.close())
    for call in (face.create, face.open):
        with pytest.raises(AbyssalError) as caught:
            call()
        shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        assert KEY not in "".join(shown.format())
    gc.collect()

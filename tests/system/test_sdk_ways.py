"""The SDK on a running server with two workers, by every way to prove who one is, blocking and asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.system.calls import table, upstream
from tests.system.identities import Identities
from tests.system.line import Line

from abyssal import (
    AsyncDeepSeekClient,
    AuthenticationError,
    DeepSeekClient,
    NotFoundError,
    OpenAICompatibilityError,
)
from abyssal.testing import Answer, ManualClock, RunningServer, ScriptedUpstream

LIMITS = "[identity]\nfailures_per_address = 100000\nfailures_per_key = 100000\n"
HI: dict[str, Any] = {"model": "open", "messages": [{"role": "user", "content": "深海 🐋"}]}
WAYS = ["key", "oauth", "jwt", "hmac"]


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(models=("upstream-model",), default=Answer.chat("Hello there.")) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def ours(scripted: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Identities]:
    config = table("[server]", workers=2) + LIMITS + upstream("open", scripted.base_url)
    with RunningServer(config, tmp_path_factory.mktemp("sdk"), workers=2) as server:
        yield Identities(server)


def proofs(ours: Identities, way: str) -> dict[str, Any]:
    client = {"client_id": ours.client["id"], "client_secret": ours.client["secret"]}
    found: dict[str, dict[str, Any]] = {
        "key": {"api_key": ours.server.api_key},
        "oauth": client,
        "jwt": client | {"auth": "jwt"},
        "hmac": {"key_id": ours.signing["id"], "secret": ours.signing["secret"], "auth": "hmac"},
    }
    return found[way] | {"base_url": ours.server.base_url, "max_retries": 0}


@pytest.mark.parametrize("way", WAYS)
def test_blocking(ours: Identities, way: str) -> None:
    with DeepSeekClient(**proofs(ours, way)) as client:
        assert client.chat.completions.create(**HI).choices[0].message.content == "Hello there."
        final = client.chat.completions.create(**HI, stream=True).get_final_completion()
        assert final.choices[0].message.content == "Hello there."
        assert [model.id for model in client.models.list()] == ["open"]
        assert client.request("GET", "/models?limit=2&after=a%20b[]").json()["object"] == "list"
        for _ in range(2):
            assert client.stream("Hi", model="open").reply().content == "Hello there."
        with pytest.raises(NotFoundError):
            client.request("POST", "/nothing", json={"a": "é"})
        session = client.create_session(model="open")
        assert session.send_message("Hi").content == "Hello there."
        assert len(session.send_message("Again", stream=True).reply().response.choices) == 1
        assert len(session.messages) == 4


@pytest.mark.parametrize("way", WAYS)
def test_asynchronous(ours: Identities, way: str) -> None:
    async def main() -> None:
        async with AsyncDeepSeekClient(**proofs(ours, way)) as client:
            calls = [client.chat.completions.create(**HI) for _ in range(8)]
            assert {one.choices[0].message.content for one in await asyncio.gather(*calls)} == {
                "Hello there."
            }
            opened = await client.chat.completions.create(**HI, stream=True)
            assert (await opened.get_final_completion()).choices[0].message.content == "Hello there."
            assert [model.id for model in await client.models.list()] == ["open"]
            for _ in range(2):
                assert (await (await client.stream("Hi", model="open")).reply()).content == "Hello there."
            session = client.create_session(model="open")
            assert (await session.send_message("Hi")).content == "Hello there."

    asyncio.run(main())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("over", ["http", "websocket"])
def test_a_stream_goes_on_after_a_cut(
    ours: Identities, scripted: ScriptedUpstream, way: str, over: str
) -> None:
    words = [f"{number} " for number in range(20)]
    scripted.enqueue(Answer.chat_stream(words, every=0.01))
    line = Line(ours.server.url)
    try:
        with DeepSeekClient(**proofs(ours, way) | {"base_url": line.url, "max_retries": 2}) as client:
            got: list[str] = []
            if over == "http":
                for chunk in client.chat.completions.create(**HI, stream=True, resumable=True):
                    got.append(chunk.choices[0].delta.content or "")
                    if len(got) == 3:
                        line.cut()
            else:
                for piece in client.stream("Hi", model="open", resumable=True):
                    got.append(piece.content)
                    if len(got) == 3:
                        line.cut()
    finally:
        line.close()
    assert "".join(got) == "".join(words)


@pytest.mark.parametrize("way", WAYS)
def test_many_threads(ours: Identities, way: str) -> None:
    with (
        DeepSeekClient(**proofs(ours, way), pool_size=16) as client,
        ThreadPoolExecutor(16) as pool,
    ):
        answers = list(pool.map(lambda _: client.chat.completions.create(**HI), range(64)))
    assert len(answers) == 64


def test_a_revoked_token_is_renewed_within_the_call(ours: Identities) -> None:
    with DeepSeekClient(**proofs(ours, "oauth")) as client:
        client.models.list()
        fetching = client._caller.core.prover.fetching  # type: ignore[union-attr]
        token = fetching.fields["authorization"].removeprefix("Bearer ")
        form = {"client_id": ours.client["id"], "client_secret": ours.client["secret"], "token": token}
        assert ours.form("/oauth/revoke", form).status == 200
        assert client.chat.completions.create(**HI).choices
        assert fetching.fields["authorization"] != f"Bearer {token}"


def test_a_revoked_token_is_renewed_for_a_socket_that_is_open(ours: Identities) -> None:
    with DeepSeekClient(**proofs(ours, "oauth")) as client:
        client.stream("Hi", model="open").reply()
        token = client._caller.core.prover.fetching.fields["authorization"].removeprefix("Bearer ")  # type: ignore[union-attr]
        form = {"client_id": ours.client["id"], "client_secret": ours.client["secret"], "token": token}
        assert ours.form("/oauth/revoke", form).status == 200
        assert client.stream("Hi", model="open").reply().content == "Hello there."


def test_a_token_near_its_end_is_renewed(ours: Identities) -> None:
    clock = ManualClock()
    with DeepSeekClient(**proofs(ours, "oauth"), _clock=clock) as client:
        client.models.list()
        fetching = client._caller.core.prover.fetching  # type: ignore[union-attr]
        first = fetching.fields
        clock.advance(3500)
        client.models.list()
        assert fetching.fields is first
        clock.advance(50)
        client.models.list()
        assert fetching.fields["authorization"] != first["authorization"]


@pytest.mark.parametrize("way", ["oauth", "jwt", "hmac"])
def test_a_wrong_secret_is_a_401_that_does_not_show_it(ours: Identities, way: str) -> None:
    wrong = {
        name: value[:-4] + "AAAA" if name in ("client_secret", "secret") else value
        for name, value in proofs(ours, way).items()
        if name != "max_retries"
    }
    secret = wrong.get("client_secret") or wrong["secret"]
    with DeepSeekClient(**wrong) as client, pytest.raises(AuthenticationError) as caught:
        client.chat.completions.create(**HI)
    assert secret not in f"{caught.value!r} {caught.value.__dict__}"
    if way == "oauth":
        assert caught.value.code == "invalid_client"
        assert "client_id and client_secret" in str(caught.value)


@pytest.mark.parametrize("way", ["jwt", "hmac"])
def test_a_clock_that_is_wrong_is_a_401(ours: Identities, way: str) -> None:
    client = DeepSeekClient(**proofs(ours, way), _clock=ManualClock(unix=1_000_000_000))
    with client, pytest.raises(AuthenticationError):
        client.models.list()


def test_rotation_does_not_disturb_a_running_client(ours: Identities) -> None:
    fresh = ours.create("clients")
    mine = {"client_id": fresh["id"], "client_secret": fresh["secret"], "base_url": ours.server.base_url}
    with DeepSeekClient(**mine) as client, DeepSeekClient(**mine, auth="jwt") as signing:
        client.models.list()
        rotated = ours.manage("POST", f"clients/{fresh['id']}/rotate", {"overlap": 60})
        assert rotated.status == 200, rotated.body
        client.models.list()
        signing.models.list()
        ours.manage("POST", f"clients/{fresh['id']}/revoke")
        for each in (client, signing):
            with pytest.raises(AuthenticationError):
                each.models.list()


def test_a_page_that_is_no_api(ours: Identities) -> None:
    client = DeepSeekClient(ours.server.api_key, base_url=ours.server.url)
    with client, pytest.raises(OpenAICompatibilityError, match="not JSON"):
        client.request("GET", "/metrics").json()

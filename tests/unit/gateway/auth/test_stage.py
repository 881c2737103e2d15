"""The stage *authenticate* in a whole gateway: expiry, networks, brakes, what is remembered, slow nonces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.gateway.messages import KEY, OTHER_KEY, chat, get
from tests.unit.gateway.stage import CONFIG, HASH_KEY, Stage

from abyssal.gateway.link import Applied, Claim, Claimed
from abyssal.stores.api_keys import digest_of
from abyssal.stores.rights import ALL_SCOPES, BITS
from abyssal.stores.snapshot import CredentialRecord, Entry, ProjectRecord, SecretRecord, encode_record
from abyssal.wire.signing import signature_of, string_to_sign

SIGNING_SECRET = b"ss_a-secret-of-forty-three-characters-and-more"


def publish(stage: Stage, key: str = KEY, **fields: Any) -> None:
    standard = {"kind": "api_key", "project": "proj_1", "user": "", "scopes": ALL_SCOPES}
    record = CredentialRecord(
        id="key_1", **standard | {"models": None, "networks": None, "expires_at": 0} | fields
    )
    stage.take(entries=(Entry(digest_of(key.encode(), HASH_KEY), encode_record(record)),))


def status(stage: Stage, request: bytes | None = None, address: str = "192.0.2.1") -> int:
    """What a models request is answered with; it reaches no upstream."""
    return stage.client(address).send(request or get("/v1/models")).answer().status


def wrong(number: int = 0) -> bytes:
    return get("/v1/models").replace(KEY.encode(), b"sk-wrong-%d" % number)


def test_a_version_in_force_is_told(stage: Stage) -> None:
    before = len(stage.told)
    publish(stage)
    assert stage.told[before:] == [Applied(stage.gateway.directory.version)]


def test_an_expired_key_stops_at_the_second_on_an_open_connection(stage: Stage) -> None:
    ends = stage.clock.unix_ns() + 10 * 10**9
    publish(stage, expires_at=ends)
    client = stage.client()
    client.send(get("/v1/models"))
    stage.pass_time(9.999)
    client.send(get("/v1/models"))
    stage.pass_time(0.001)
    client.send(get("/v1/models"))
    assert [answer.status for answer in client.answers()] == [200, 200, 401]
    assert stage.failed[-1].reason == "expired"


def test_a_key_that_a_head_proved_is_not_believed_after_it_was_revoked(stage: Stage) -> None:
    client = stage.client()
    for _ in range(3):
        client.ask()
        stage.server.last.answer()
    publish(stage, expires_at=1)
    client.ask()
    assert [answer.status for answer in client.answers()] == [200, 200, 200, 401]


def test_calls_of_many_keys_on_one_connection_are_each_their_own(stage: Stage) -> None:
    client = stage.client()
    for at, key in enumerate((KEY, KEY, OTHER_KEY, KEY, "sk-nobody-at-all-0123456789", OTHER_KEY)):
        client.send(chat().replace(KEY.encode(), key.encode()))
        if at != 4:
            stage.server.last.answer()
    assert [answer.status for answer in client.answers()] == [200, 200, 200, 200, 401, 200]
    assert [row.key_id for row in stage.settled] == ["key_1", "key_1", "key_2", "key_1", "key_2"]


def test_networks(stage: Stage) -> None:
    publish(stage, networks=("192.0.2.0/24", "2001:db8::/32"))
    found = [
        status(stage, address=place)
        for place in ("192.0.2.9", "2001:db8::1", "::ffff:192.0.2.1", "192.0.3.1", "")
    ]
    assert found == [200, 200, 200, 401, 401]
    assert {one.reason for one in stage.failed} == {"network"}


def test_a_network_limit_reaches_a_connection_whose_head_was_remembered(stage: Stage) -> None:
    client = stage.client()
    client.ask()
    stage.server.last.answer()
    client.ask()
    stage.server.last.answer()
    stage.take(projects=(ProjectRecord("proj_1", "org_1", ALL_SCOPES, None, (("10.0.0.0/8",),), True),))
    client.ask()
    assert [answer.status for answer in client.answers()] == [200, 200, 401]


def test_a_trusted_proxy_says_who_asks(make_stage: Callable[..., Stage]) -> None:
    config = '[server]\ntrusted_proxies = ["10.0.0.0/8"]\n' + CONFIG.format(kind="openai")
    stage = make_stage(config)
    publish(stage, networks=("192.0.2.0/24",))
    through = get("/v1/models", b"X-Forwarded-For: 192.0.2.77\r\n")
    assert status(stage, through, "10.0.0.1") == 200
    assert status(stage, through, "198.51.100.1") == 401
    assert status(stage, get("/v1/models"), "10.0.0.1") == 401


def test_an_archived_project(stage: Stage) -> None:
    assert status(stage) == 200
    stage.take(projects=(ProjectRecord("proj_1", "org_1", ALL_SCOPES, None, (), False),))
    assert status(stage) == 401
    assert stage.failed[-1].reason == "archived"


def test_a_missing_scope_and_a_model_that_is_not_allowed(stage: Stage) -> None:
    publish(stage, scopes=BITS["embeddings"])
    answer = stage.client().ask().answer()
    assert (answer.status, answer.error["code"]) == (403, "scope_missing")
    assert 'error="insufficient_scope"' in dict(answer.headers)["www-authenticate"]
    assert status(stage) == 200
    publish(stage, models=("other",))
    answer = stage.client().ask().answer()
    assert (answer.status, answer.error["code"], answer.error["param"]) == (403, "model_not_allowed", "model")
    listing = stage.client().send(get("/v1/models")).answer()
    assert listing.json()["data"] == []
    assert status(stage, get("/v1/models/m")) == 404
    assert stage.server.connections == []


class TestBrakes:
    @pytest.fixture
    def stage(self, make_stage: Callable[..., Stage]) -> Stage:
        limits = "[identity]\nfailures_per_address = 5\nfailures_per_key = 3\n"
        return make_stage(limits + CONFIG.format(kind="openai"))

    def test_failures_of_an_address_are_stopped_for_a_while(self, stage: Stage) -> None:
        assert [status(stage, wrong(at)) for at in range(6)] == [401, 401, 401, 401, 401, 429]
        refused = stage.client().send(wrong()).answer()
        assert refused.error["code"] == "too_many_failures"
        assert refused.header("retry-after") == "12"
        assert status(stage, wrong(), "192.0.2.2") == 401, "another address is not stopped"
        stage.pass_time(12)
        assert status(stage, wrong()) == 401
        assert status(stage, wrong()) == 429

    def test_a_right_guess_is_not_told_from_a_wrong_one_while_stopped(self, stage: Stage) -> None:
        told = set()
        for at in range(5):
            status(stage, wrong(at))
        for request in (get("/v1/models"), wrong()):
            answer = stage.client().send(request).answer()
            told.add((answer.status, answer.body))
        assert len(told) == 1

    def test_who_proved_itself_from_there_goes_on(self, stage: Stage) -> None:
        assert status(stage) == 200
        for at in range(9):
            status(stage, wrong(at))
        assert status(stage) == 200
        other = get("/v1/models").replace(KEY.encode(), OTHER_KEY.encode())
        assert status(stage, other) == 429, "it never proved itself from there"

    def test_claims_of_one_credential_are_stopped_from_everywhere(self, stage: Stage) -> None:
        record = CredentialRecord("sig_1", "signing_key", "proj_1", "", ALL_SCOPES, None, None, 0)
        stage.take(entries=(Entry(b"sig_1", encode_record(record)),))
        guess = get("/v1/models").replace(
            b"Authorization: Bearer %b\r\n" % KEY.encode(),
            b"X-Api-Key: sig_1\r\nX-Api-Timestamp: %d\r\nX-Api-Nonce: n\r\nX-Api-Signature: %b\r\n"
            % (stage.clock.unix_ns() // 10**9, b"A" * 43 + b"="),
        )
        found = [status(stage, guess, f"198.51.100.{at}") for at in range(5)]
        assert found == [401, 401, 401, 429, 429]


class TestSharedNonces:
    """Two workers: the node is asked, and the answer comes later."""

    @pytest.fixture
    def stage(self, make_stage: Callable[..., Stage]) -> Stage:
        stage = make_stage("[server]\nworkers = 2\n" + CONFIG.format(kind="openai"))
        record = CredentialRecord(
            "sig_1",
            "signing_key",
            "proj_1",
            "",
            ALL_SCOPES,
            None,
            None,
            0,
            (SecretRecord(SIGNING_SECRET, 0),),
        )
        stage.take(entries=(Entry(b"sig_1", encode_record(record)),))
        return stage

    def signed(self, stage: Stage, nonce: bytes = b"n1", target: bytes = b"/v1/models") -> bytes:
        now = b"%d" % (stage.clock.unix_ns() // 10**9)
        text = string_to_sign(b"GET", target, b"", now, nonce)
        signature = signature_of(SIGNING_SECRET, text)
        return get(target.decode()).replace(
            b"Authorization: Bearer %b\r\n" % KEY.encode(),
            b"X-Api-Key: sig_1\r\nX-Api-Timestamp: %b\r\nX-Api-Nonce: %b\r\nX-Api-Signature: %b\r\n"
            % (now, nonce, signature),
        )

    def claim(self, stage: Stage) -> Claim:
        found = [message for message in stage.told if isinstance(message, Claim)]
        return found[-1]

    def test_the_request_waits_for_the_answer(self, stage: Stage) -> None:
        client = stage.client().send(self.signed(stage))
        assert client.answers() == []
        stage.gateway.take(Claimed(self.claim(stage).number, "fresh"))
        stage.turn()
        assert client.answer().status == 200

    @pytest.mark.parametrize(
        ("verdict", "expected", "code"),
        [
            ("seen", 401, "invalid_api_key"),
            ("stale", 401, "invalid_api_key"),
            ("full", 503, "nonce_store_full"),
            ("down", 503, "nonce_store_down"),
        ],
    )
    def test_refusals(self, stage: Stage, verdict: str, expected: int, code: str) -> None:
        client = stage.client().send(self.signed(stage))
        stage.gateway.take(Claimed(self.claim(stage).number, verdict))
        stage.turn()
        answer = client.answer()
        assert (answer.status, answer.error["code"]) == (expected, code)

    def test_a_client_that_leaves_while_it_waits(self, stage: Stage) -> None:
        client = stage.client().send(self.signed(stage))
        client.leave()
        stage.gateway.take(Claimed(self.claim(stage).number, "fresh"))
        stage.turn()
        assert stage.records == []

    @pytest.mark.parametrize("turns", range(5))
    def test_a_client_that_leaves_just_when_the_answer_is_there(self, stage: Stage, turns: int) -> None:
        problems: list[Any] = []
        stage.loop.set_exception_handler(lambda _, context: problems.append(context))
        client = stage.client().send(self.signed(stage))

        async def leave() -> None:
            stage.gateway.take(Claimed(self.claim(stage).number, "fresh"))
            for _ in range(turns):
                await asyncio.sleep(0)
            client.transport.peer_closes()

        stage.loop.run_until_complete(leave())
        stage.turn()
        assert problems == []

    def test_what_goes_wrong_after_the_answer_is_an_answer_too(self, stage: Stage) -> None:
        request = self.signed(stage, target=b"/v1/models/nope")
        client = stage.client().send(request)
        stage.gateway.take(Claimed(self.claim(stage).number, "fresh"))
        stage.turn()
        assert client.answer().status == 404

    def test_what_is_pipelined_behind_it_keeps_its_order(self, stage: Stage) -> None:
        client = stage.client().send(self.signed(stage) + get("/healthz"))
        assert client.answers() == []
        stage.gateway.take(Claimed(self.claim(stage).number, "fresh"))
        stage.turn()
        assert [len(answer.body) > 20 for answer in client.answers()] == [True, False]

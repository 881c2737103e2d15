"""Who is calling: keys in two headers, strangers, and what a refusal shows."""

from __future__ import annotations

import pytest

from .messages import KEY, OTHER_KEY, chat, get
from .stage import Stage

BEARER = b"Authorization: Bearer %b\r\n" % KEY.encode()


def with_fields(fields: bytes) -> bytes:
    return chat().replace(BEARER, fields)


KNOWN = {
    "bearer": BEARER,
    "any case of the scheme": b"Authorization: bEARER %b\r\n" % KEY.encode(),
    "blanks around it": b"Authorization:   Bearer   %b  \r\n" % KEY.encode(),
    "x-api-key": b"X-API-Key: %b\r\n" % KEY.encode(),
    "both the same": BEARER + b"x-api-key: %b\r\n" % KEY.encode(),
}


@pytest.mark.parametrize("fields", list(KNOWN.values()), ids=list(KNOWN))
def test_known_keys(stage: Stage, fields: bytes) -> None:
    client = stage.client().send(with_fields(fields))
    stage.server.last.answer()
    assert client.answer().status == 200
    assert stage.settled[0].key_id == "key_1"


REFUSED = {
    "nothing": (b"", 401, "missing_api_key"),
    "empty": (b"Authorization: \r\n", 401, "invalid_api_key"),
    "only the scheme": (b"Authorization: Bearer\r\n", 401, "invalid_api_key"),
    "only the scheme and a blank": (b"Authorization: Bearer  \r\n", 401, "invalid_api_key"),
    "another scheme": (b"Authorization: Basic dXNlcjpwYXNz\r\n", 401, "invalid_api_key"),
    "bad base64": (b"Authorization: Basic ====\r\n", 401, "invalid_api_key"),
    "no scheme": (b"Authorization: %b\r\n" % KEY.encode(), 401, "invalid_api_key"),
    "a stranger": (b"Authorization: Bearer sk-nobody-knows-this-one\r\n", 401, "invalid_api_key"),
    "a typo": (b"Authorization: Bearer sk-%b\r\n" % (b"0" * 33), 401, "invalid_api_key"),
    "empty x-api-key": (b"x-api-key: \r\n", 401, "invalid_api_key"),
    "bytes": (b"Authorization: Bearer \xff\xfe\x80\r\n", 401, "invalid_api_key"),
    "a key and more": (b"Authorization: Bearer %b x\r\n" % KEY.encode(), 401, "invalid_api_key"),
    "two keys": (BEARER + b"x-api-key: %b\r\n" % OTHER_KEY.encode(), 400, "two_credentials"),
    "two authorizations": (BEARER + BEARER, 400, "two_credentials"),
    "two x-api-keys": (b"x-api-key: a\r\nX-Api-Key: a\r\n", 400, "two_credentials"),
    "two timestamps": (b"x-api-timestamp: 1\r\nX-Api-Timestamp: 1\r\n", 400, "two_credentials"),
    "a key and a scheme": (
        b"Authorization: Basic x\r\nx-api-key: %b\r\n" % KEY.encode(),
        400,
        "two_credentials",
    ),
    "a key and a signed request": (BEARER + b"x-api-signature: eA==\r\n", 400, "two_credentials"),
    "a key and a message signature": (BEARER + b"signature: a=:eA==:\r\n", 400, "two_credentials"),
    "both kinds of signature": (
        b"x-api-key: sig_1\r\nx-api-signature: eA==\r\nsignature: a=:eA==:\r\n",
        400,
        "two_credentials",
    ),
}


@pytest.mark.parametrize(("fields", "status", "code"), list(REFUSED.values()), ids=list(REFUSED))
def test_strangers(stage: Stage, fields: bytes, status: int, code: str) -> None:
    client = stage.client().send(with_fields(fields))
    answer = client.answer()
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.error["type"] == ("authentication_error" if status == 401 else "invalid_request_error")
    assert stage.server.connections == []


def test_a_refusal_is_recorded_without_the_key(stage: Stage) -> None:
    stage.client().send(with_fields(b"x-api-key: sk-nobody-knows-this-one\r\n"))
    (refused,) = stage.refused
    assert (refused.status, refused.code, refused.key_id) == (401, "invalid_api_key", "")
    assert "nobody" not in repr(refused)


def test_every_failed_attempt_is_told_the_same(stage: Stage) -> None:
    told = set()
    for fields, _, code in REFUSED.values():
        if code == "invalid_api_key":
            answer = stage.client().send(with_fields(fields)).answer()
            headers = tuple(pair for pair in answer.headers if pair[0] != "x-request-id")
            told.add((answer.status, headers, answer.body))
    assert len(told) == 1
    (((_, headers, body)),) = told
    assert dict(headers)["www-authenticate"] == 'Bearer realm="abyssal", error="invalid_token"'
    assert b"sk-" not in body


def test_a_failed_attempt_is_recorded_with_its_reason_and_without_the_key(stage: Stage) -> None:
    stage.client("198.51.100.7").send(with_fields(b"x-api-key: sk-nobody-knows-this-one\r\n"))
    stage.client("198.51.100.7").send(with_fields(b"x-api-key: sk-%b\r\n" % (b"0" * 33)))
    found = [(one.address, one.way, one.reason, one.credential) for one in stage.failed]
    assert found == [("198.51.100.7", "api_key", "unknown", ""), ("198.51.100.7", "api_key", "mistyped", "")]
    assert "nobody" not in repr(stage.records)


def test_a_key_is_asked_for_before_anything_else_is_judged(stage: Stage) -> None:
    for body in (b"no JSON", b"{}", b"\xff"):
        client = stage.client().send(chat(body).replace(BEARER, b""))
        assert client.answer().status == 401


def test_keys_are_replaced_as_a_whole(stage: Stage) -> None:
    stage.publish(OTHER_KEY)
    assert stage.client().ask().answer().status == 401
    client = stage.client().send(chat().replace(KEY.encode(), OTHER_KEY.encode()))
    stage.server.last.answer()
    assert client.answer().status == 200
    stage.publish()
    assert stage.client().send(get("/v1/models")).answer().status == 401


def test_a_revoked_key_s_call_at_work_goes_on(stage: Stage) -> None:
    client = stage.client().ask()
    stage.publish()
    stage.server.last.answer()
    assert client.answer().status == 200
    assert client.ask().answers()[1].status == 401

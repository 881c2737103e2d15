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
    "empty": (b"Authorization: \r\n", 401, "malformed_authorization"),
    "only the scheme": (b"Authorization: Bearer\r\n", 401, "malformed_authorization"),
    "only the scheme and a blank": (b"Authorization: Bearer  \r\n", 401, "malformed_authorization"),
    "another scheme": (b"Authorization: Basic dXNlcjpwYXNz\r\n", 401, "malformed_authorization"),
    "no scheme": (b"Authorization: %b\r\n" % KEY.encode(), 401, "malformed_authorization"),
    "a stranger": (b"Authorization: Bearer sk-nobody-knows-this-one\r\n", 401, "invalid_api_key"),
    "empty x-api-key": (b"x-api-key: \r\n", 401, "invalid_api_key"),
    "bytes": (b"Authorization: Bearer \xff\xfe\x80\r\n", 401, "invalid_api_key"),
    "a key and more": (b"Authorization: Bearer %b x\r\n" % KEY.encode(), 401, "invalid_api_key"),
    "two keys": (BEARER + b"x-api-key: %b\r\n" % OTHER_KEY.encode(), 400, "two_credentials"),
    "two authorizations": (BEARER + BEARER, 400, "two_credentials"),
    "two x-api-keys": (b"x-api-key: a\r\nX-Api-Key: a\r\n", 400, "two_credentials"),
    "a key and a scheme": (
        b"Authorization: Basic x\r\nx-api-key: %b\r\n" % KEY.encode(),
        401,
        "malformed_authorization",
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


@pytest.mark.parametrize(
    ("key", "shown"),
    [("sk-nobody-knows-this-1234", "****1234"), ("short", "****"), ("sk-0123456-abc", "****"), ("", "****")],
)
def test_a_wrong_key_is_shown_by_its_end_at_most(stage: Stage, key: str, shown: str) -> None:
    client = stage.client().send(with_fields(b"x-api-key: %b\r\n" % key.encode()))
    message = client.answer().error["message"]
    assert f"Your api key: {shown} is invalid" in message
    assert not key or key not in message


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

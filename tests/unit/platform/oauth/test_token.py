"""`POST /oauth/token`: what a client gets, and every way of not getting it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import select

from abyssal.stores.sql.schema import credentials, organizations, projects, secrets

from .office import CLIENT, HOME, ISSUER, NS, OTHER_SECRET, SECRET, Office, basic_header, furnish

GRANT = {"grant_type": "client_credentials"}
POSTED = {**GRANT, "client_id": CLIENT, "client_secret": SECRET}
BAD_CLIENT = (
    "Client authentication failed: send a client id and its current secret, by HTTP Basic or as the form fields "
    "client_id and client_secret."
)


@pytest.mark.parametrize("way", ["basic", "form", "basic and client_id"])
def test_a_client_gets_a_token(office: Office, way: str) -> None:
    fields = {"basic": GRANT, "form": POSTED, "basic and client_id": {**GRANT, "client_id": CLIENT}}[way]
    answer = office.post("/oauth/token", fields, basic=None if way == "form" else (CLIENT, SECRET))
    assert answer.status == 200
    token = answer.json.pop("access_token")
    assert {k: v for k, v in answer.json.items() if k != "access_token"} == {
        "token_type": "Bearer", "expires_in": 3600, "scope": "chat embeddings usage:read",
    }  # fmt: skip
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    assert office.is_active(token)
    assert office.failures == []


def test_others_verify_it_with_our_key_set(office: Office) -> None:
    """RFC 9068 as another library sees it."""
    text = office.token(scope="chat").json["access_token"]
    keys = KeySet.import_key_set(office.get("/.well-known/jwks.json").json)
    token = jwt.decode(text, keys, algorithms=["ES256"])
    assert token.header == {"alg": "ES256", "typ": "at+jwt", "kid": keys.keys[0].kid}
    jti = token.claims.pop("jti")
    now = office.now_s()
    assert token.claims == {
        "iss": ISSUER, "aud": ISSUER, "sub": CLIENT, "client_id": CLIENT, "scope": "chat",
        "iat": now, "exp": now + 3600,
    }  # fmt: skip
    assert len(base64.urlsafe_b64decode(jti + "==")) == 16
    jwt.JWTClaimsRegistry(
        now=lambda: now, iss={"essential": True, "value": ISSUER}, exp={"essential": True}
    ).validate(token.claims)


def test_each_token_has_a_name_of_its_own(office: Office) -> None:
    names = {office.introspect(office.token().json["access_token"]).json["jti"] for _ in range(20)}
    assert len(names) == 20


def test_nothing_private_is_in_the_key_set(office: Office) -> None:
    office.token()
    (key,) = office.get("/.well-known/jwks.json").json["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("EC", "P-256", "sig", "ES256")


# (form, Basic or None, further headers, status, error): everything but the client's proof itself
REFUSED: dict[str, tuple[Any, Any, dict[str, str], int, str]] = {
    "no grant type": ({"scope": "chat"}, (CLIENT, SECRET), {}, 400, "invalid_request"),
    "empty grant type": ({"grant_type": ""}, (CLIENT, SECRET), {}, 400, "invalid_request"),
    "other grant type": ({"grant_type": "password"}, (CLIENT, SECRET), {}, 400, "unsupported_grant_type"),
    "twice": ([*GRANT.items(), *GRANT.items()], (CLIENT, SECRET), {}, 400, "invalid_request"),
    "unknown, twice": ([*GRANT.items(), ("a", "1"), ("a", "")], (CLIENT, SECRET), {}, 400, "invalid_request"),
    "JSON": (b'{"grant_type":"client_credentials"}', (CLIENT, SECRET), {"content-type": "application/json"},
             400, "invalid_request"),
    "no type": (GRANT, (CLIENT, SECRET), {"content-type": ""}, 400, "invalid_request"),
    "multipart": (GRANT, (CLIENT, SECRET), {"content-type": "multipart/form-data; boundary=x"}, 400,
                  "invalid_request"),
    "other charset": (GRANT, (CLIENT, SECRET),
                      {"content-type": "application/x-www-form-urlencoded; charset=utf-16"}, 400,
                      "invalid_request"),
    "compressed": (GRANT, (CLIENT, SECRET), {"content-encoding": "gzip"}, 400, "invalid_request"),
    "raw bytes": (b"grant_type=\xff", (CLIENT, SECRET), {}, 400, "invalid_request"),
    "no UTF-8": (b"grant_type=%ff", (CLIENT, SECRET), {}, 400, "invalid_request"),
    "many fields": (b"&".join(b"a%d=1" % n for n in range(65)), (CLIENT, SECRET), {}, 400, "invalid_request"),
    "long": ({**GRANT, "x": "x" * 16384}, (CLIENT, SECRET), {}, 413, "invalid_request"),
    "Basic and form": (POSTED, (CLIENT, SECRET), {}, 400, "invalid_request"),
    "two names": ({**GRANT, "client_id": "client_b"}, (CLIENT, SECRET), {}, 400, "invalid_request"),
    "unknown scope": ({**GRANT, "scope": "chat everything"}, (CLIENT, SECRET), {}, 400, "invalid_scope"),
    "scope of others": ({**GRANT, "scope": "admin"}, (CLIENT, SECRET), {}, 400, "invalid_scope"),
    "two spaces": ({**GRANT, "scope": "chat  embeddings"}, (CLIENT, SECRET), {}, 400, "invalid_scope"),
    "scope in quotes": ({**GRANT, "scope": '"chat"'}, (CLIENT, SECRET), {}, 400, "invalid_scope"),
    "scope with a tab": ({**GRANT, "scope": "chat\tembeddings"}, (CLIENT, SECRET), {}, 400, "invalid_scope"),
    "long scope": ({**GRANT, "scope": "x" * 9000}, (CLIENT, SECRET), {}, 400, "invalid_scope"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_before_and_after_the_client(office: Office, case: str) -> None:
    fields, basic, headers, status, error = REFUSED[case]
    answer = office.post("/oauth/token", fields, basic=basic, headers=headers)
    assert (answer.status, answer.error) == (status, error)
    check_form_of_error(answer.headers, answer.json)
    assert office.failures == []


def test_parameters_in_the_address_are_refused(office: Office) -> None:
    answer = office.post("/oauth/token?client_secret=" + SECRET, GRANT, basic=(CLIENT, SECRET))
    assert (answer.status, answer.error) == (400, "invalid_request")


def test_two_authorization_headers_are_refused(office: Office) -> None:
    header = ("authorization", basic_header(CLIENT, SECRET))
    form = [("content-type", "application/x-www-form-urlencoded")]
    answer = office.ask("POST", "/oauth/token", b"grant_type=client_credentials", [*form, header, header])
    assert (answer.status, answer.error) == (400, "invalid_request")


def test_unknown_and_empty_parameters_count_as_absent(office: Office) -> None:
    fields = {**GRANT, "scope": "", "resource": "x", "client_secret": ""}
    answer = office.post(
        "/oauth/token", fields, basic=(CLIENT, SECRET),
        headers={"content-type": "Application/X-WWW-Form-URLEncoded ; charset=UTF-8"},
    )  # fmt: skip
    assert answer.json["scope"] == "chat embeddings usage:read"


# --- who is no client: (Basic header or form, reason in the journal, id in the journal)
def raw_basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


STRANGERS: dict[str, tuple[dict[str, str], str, str, str]] = {
    "wrong secret": ({}, basic_header(CLIENT, OTHER_SECRET), "wrong_secret", CLIENT),
    "nearly right": ({}, basic_header(CLIENT, SECRET[:-1]), "wrong_secret", CLIENT),
    "unknown": ({}, basic_header("client_00", SECRET), "unknown", "client_00"),
    "secret for a name": ({}, basic_header(SECRET, CLIENT), "unknown", ""),
    "API key's id": ({}, basic_header("key_a", SECRET), "unknown", ""),
    "injection": ({}, basic_header("' OR 1=1 --", SECRET), "unknown", ""),
    "NUL": ({}, basic_header(CLIENT + "\0", SECRET), "unknown", ""),
    "long name": ({}, basic_header("client_" + "0" * 9000, SECRET), "unknown", ""),
    "form": ({"client_id": CLIENT, "client_secret": "x"}, "", "wrong_secret", CLIENT),
    "bad base64": ({}, "Basic ====", "malformed", ""),
    "no base64": ({}, "Basic é", "malformed", ""),
    "junk in base64": ({}, basic_header(CLIENT, SECRET).replace("Basic ", "Basic !"), "malformed", ""),
    "no colon": ({}, raw_basic(CLIENT.encode()), "malformed", ""),
    "no UTF-8": ({}, raw_basic(b"\xff:\xff"), "malformed", ""),
    "percent, no UTF-8": ({}, raw_basic(b"%ff:%ff"), "malformed", ""),
    "empty Basic": ({}, "Basic ", "malformed", ""),
    "Bearer": ({}, "Bearer " + SECRET, "malformed", ""),
    "nothing": ({}, "", "", ""),
    "name alone": ({"client_id": CLIENT}, "", "", ""),
    "secret alone": ({"client_secret": SECRET}, "", "", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGERS)
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/oauth/introspect"])
def test_every_stranger_gets_the_same_answer(office: Office, case: str, path: str) -> None:
    fields, authorization, reason, credential = STRANGERS[case]
    fields = {**GRANT, "token": "x", **fields}
    answer = office.post(path, fields, headers={"authorization": authorization})
    assert answer.status == 401
    assert answer.json == {"error": "invalid_client", "error_description": BAD_CLIENT}
    assert answer.headers["www-authenticate"].startswith('Basic realm="')
    check_form_of_error(answer.headers, answer.json)
    noted = [{"address": HOME, "way": "oauth", "reason": reason, "credential": credential}]
    assert office.failures == (noted if reason else [])
    assert SECRET not in str(office.failures)


NO_LONGER = {
    "revoked": (credentials, CLIENT, {"revoked_at": 1}, "revoked"),
    "expired": (credentials, CLIENT, {"expires_at": 1_800_000_000 * NS}, "expired"),
    "project archived": (projects, "proj_a", {"archived_at": 1}, "archived"),
    "organisation archived": (organizations, "org_a", {"archived_at": 1}, "archived"),
    "secret expired": (secrets, "sec_0", {"expires_at": 1_800_000_000 * NS}, "wrong_secret"),
    "client's network": (credentials, CLIENT, {"networks": '["10.0.0.0/8"]'}, "network"),
    "project's network": (projects, "proj_a", {"networks": '["10.0.0.0/8"]'}, "network"),
    "organisation's network": (organizations, "org_a", {"networks": '["10.0.0.0/8"]'}, "network"),
    "no network": (credentials, CLIENT, {"networks": "[]"}, "network"),
    "no client": (credentials, CLIENT, {"kind": "signing_key"}, "unknown"),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_LONGER)
def test_who_was_a_client_gets_that_answer_too(office: Office, case: str) -> None:
    table, row, values, reason = NO_LONGER[case]
    assert office.token().status == 200
    office.change(table, row, **values)
    answer = office.token()
    assert (answer.status, answer.json["error_description"]) == (401, BAD_CLIENT)
    assert [failure["reason"] for failure in office.failures] == [reason]


def test_the_same_work_is_done_whatever_is_wrong(make_office: Callable[..., Office]) -> None:
    office = furnish(make_office())
    office.add_client("client_two")
    office.add_secret(SECRET, "client_two")
    office.add_secret(OTHER_SECRET, "client_two")
    office.token("cs_nothing", "client_00")  # the first failure makes the decoy
    work: dict[str, int] = {}
    for name, client, secret in (
        ("unknown", "client_00", SECRET), ("no id", "\0", SECRET), ("one secret", CLIENT, "x"),
        ("two secrets", "client_two", "x"), ("long", CLIENT, "x" * 9000),
    ):  # fmt: skip
        before = office.vault.opened
        assert office.token(secret, client).status == 401
        work[name] = office.vault.opened - before
    assert set(work.values()) == {2}, work


def test_a_secret_that_cannot_be_opened_proves_nobody(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.add_client("client_two")
    office.add_secret(OTHER_SECRET, "client_two")
    with office.engine.connect() as connection:
        other = connection.execute(select(secrets.c.sealed).where(secrets.c.id == "sec_1")).scalar_one()
    office.change(secrets, "sec_0", sealed=other)  # a row that was moved
    for secret in (SECRET, OTHER_SECRET):
        assert (office.token(secret).status, office.token(secret).error) == (401, "invalid_client")
    assert f"sec_0 of {CLIENT}" in caplog.text
    office.add_secret(OTHER_SECRET)  # what a rotation brings
    assert office.token(OTHER_SECRET).status == 200


def test_a_clients_use_is_noted(office: Office) -> None:
    def used() -> int | None:
        with office.engine.connect() as connection:
            query = select(credentials.c.last_used_at).where(credentials.c.id == CLIENT)
            return connection.execute(query).scalar_one()

    assert office.token("cs_wrong").status == 401
    assert used() is None
    token = office.token().json["access_token"]
    assert used() == office.clock.unix_ns()
    for ask in (office.introspect, office.revoke):
        office.clock.advance(61)
        assert ask(token).status == 200
        assert used() == office.clock.unix_ns()


def test_both_secrets_are_good_while_a_client_is_rotated(office: Office) -> None:
    office.add_secret(OTHER_SECRET)
    office.change(secrets, "sec_0", expires_at=(office.now_s() + 60) * NS)
    assert (office.token(SECRET).status, office.token(OTHER_SECRET).status) == (200, 200)
    office.clock.advance(59.999)
    assert office.token(SECRET).status == 200
    office.clock.advance(0.001)
    assert (office.token(SECRET).status, office.token(OTHER_SECRET).status) == (401, 200)


RIGHTS = [
    # client, project, organisation, asked, granted or None
    ('["chat","files"]', None, None, None, "chat files"),
    ('["files","chat"]', None, None, "files chat", "chat files"),
    ('["chat","files"]', None, None, "files files", "files"),
    ('["chat","files"]', '["chat"]', None, None, "chat"),
    ('["chat","files"]', None, '["files"]', None, "files"),
    ('["chat","files"]', '["chat"]', None, "files", None),
    ('["chat","files"]', None, '["files"]', "chat files", None),
    ('["chat"]', '["files"]', None, None, None),
    ("[]", None, None, None, None),
    ('["chat","gone"]', None, None, None, "chat"),
    ('["models:train"]', None, None, "models:train", "models:train"),
]


@pytest.mark.parametrize(("client", "project", "organization", "asked", "granted"), RIGHTS)
def test_a_token_has_no_more_than_client_project_and_organisation(
    office: Office, client: str, project: str | None, organization: str | None, asked: str | None,
    granted: str | None,
) -> None:  # fmt: skip
    office.change(credentials, CLIENT, scopes=client)
    office.change(projects, "proj_a", scopes=project)
    office.change(organizations, "org_a", scopes=organization)
    answer = office.token(**({} if asked is None else {"scope": asked}))
    if granted is None:
        assert (answer.status, answer.error) == (400, "invalid_scope")
        return
    assert answer.json["scope"] == granted
    assert office.introspect(answer.json["access_token"]).json["scope"] == granted


def test_networks_that_hold_the_address(office: Office) -> None:
    office.change(credentials, CLIENT, networks='["192.0.2.0/24","10.0.0.0/8"]')
    office.change(organizations, "org_a", networks='["192.0.0.0/16"]')
    assert office.token().status == 200
    assert office.token(address="::ffff:192.0.2.9").status == 200
    assert office.token(address="10.0.0.1").status == 401
    assert office.token(address="").status == 401


@pytest.mark.parametrize(
    ("lifetime", "left", "expected"),
    [(3600, None, 3600), (86400, None, 86400), (3600, 100.0, 100), (3600, 1.5, 1), (60, 100.0, 60)],
)
def test_a_token_ends_with_its_client(
    make_office: Callable[..., Office], lifetime: int, left: float | None, expected: int
) -> None:
    office = furnish(make_office(token_lifetime=lifetime))
    if left is not None:
        office.change(credentials, CLIENT, expires_at=office.clock.unix_ns() + round(left * NS))
    answer = office.token()
    assert answer.json["expires_in"] == expected
    said = office.introspect(answer.json["access_token"]).json
    assert (said["iat"], said["exp"]) == (office.now_s(), office.now_s() + expected)


def test_less_than_a_second_is_no_time_for_a_token(office: Office) -> None:
    office.change(credentials, CLIENT, expires_at=office.clock.unix_ns() + 999_999_999)
    assert office.token().status == 401


def check_form_of_error(headers: dict[str, str], body: dict[str, str]) -> None:
    """RFC 6749 §5.2."""
    assert set(body) == {"error", "error_description"}
    allowed = {*range(0x20, 0x22), *range(0x23, 0x5C), *range(0x5D, 0x7F)}
    assert {ord(character) for character in body["error_description"]} <= allowed
    assert len(body["error_description"]) < 400
    assert headers["content-type"] == "application/json"
    assert (headers["cache-control"], headers["pragma"]) == ("no-store", "no-cache")

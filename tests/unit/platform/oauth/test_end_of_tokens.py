"""`/oauth/revoke` and `/oauth/introspect`: whose tokens, from when on, and what others are told."""

from __future__ import annotations

import hmac
import random
import string
from collections.abc import Callable

import msgspec
import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey
from joserfc.util import urlsafe_b64encode
from sqlalchemy import select

from abyssal.platform.oauth.token_keys import KeyRing
from abyssal.stores.sql.schema import credentials, organizations, revoked_tokens
from abyssal.stores.sql.tokens import read_token_keys

from .office import CLIENT, ISSUER, NS, SECRET, Office

COLLEAGUE, STRANGER = "client_colleague", "client_stranger"


@pytest.fixture
def crowd(office: Office) -> Office:
    """A client beside ours in the same organisation, and one in another."""
    office.add_client(COLLEAGUE)
    office.add_secret(SECRET, COLLEAGUE)
    office.add_organization("org_b")
    office.add_project("proj_b", "org_b")
    office.add_client(STRANGER, project="proj_b")
    office.add_secret(SECRET, STRANGER, organization="org_b")
    return office


def token_of(office: Office, client_id: str = CLIENT) -> str:
    return office.token(client_id=client_id).json["access_token"]


def test_what_is_said_of_an_active_token(office: Office) -> None:
    now = office.now_s()
    said = office.introspect(token_of(office)).json
    assert len(said.pop("jti")) == 22
    assert said == {
        "active": True, "scope": "chat embeddings usage:read", "client_id": CLIENT, "token_type": "Bearer",
        "exp": now + 3600, "iat": now, "sub": CLIENT, "aud": ISSUER, "iss": ISSUER,
    }  # fmt: skip


def test_a_revoked_token_is_over_at_once_and_everywhere(office: Office, make_office: object) -> None:
    token, other = token_of(office), token_of(office)
    before = office.revision()
    answer = office.revoke(token)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert not office.is_active(token)
    assert office.is_active(other)
    assert not office.beside().is_active(token)
    with office.engine.connect() as connection:
        (row,) = connection.execute(select(revoked_tokens)).mappings()
    assert row["revision"] == office.revision() == before + 1
    assert row["expires_at"] == (office.now_s() + 3600) * NS
    assert office.in_force_at[-1] == office.revision()  # before the answer, the workers know


def test_twice_is_not_an_error(office: Office) -> None:
    token = token_of(office)
    assert [office.revoke(token).status for _ in range(2)] == [200, 200]
    with office.engine.connect() as connection:
        assert len(connection.execute(select(revoked_tokens)).all()) == 1


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "é.é.é", "x" * 16000, "\0"])
def test_what_is_no_token_is_revoked_without_a_word(office: Office, token: str) -> None:
    token_of(office)
    before, in_force = office.revision(), len(office.in_force_at)
    assert office.revoke(token).status == 200
    assert (office.revision(), len(office.in_force_at)) == (before, in_force)
    assert office.introspect(token).json == {"active": False}


@pytest.mark.parametrize("path", ["/oauth/revoke", "/oauth/introspect"])
def test_the_token_must_be_there(office: Office, path: str) -> None:
    answer = office.post(path, {"token": ""}, basic=(CLIENT, SECRET))
    assert (answer.status, answer.error) == (400, "invalid_request")


@pytest.mark.parametrize("owner", [COLLEAGUE, STRANGER])
def test_only_the_owner_can_revoke(crowd: Office, owner: str) -> None:
    token = token_of(crowd, owner)
    answer = crowd.revoke(token)
    assert (answer.status, answer.error) == (400, "invalid_grant")
    assert crowd.introspect(token, client_id=owner).json["active"]
    crowd.revoke(token, client_id=owner)
    again = crowd.revoke(token)  # whether it still was alive is nobody else's business
    assert (again.status, again.body) == (400, answer.body)


def test_only_the_own_organisation_is_answered(crowd: Office) -> None:
    mine, theirs, colleagues = (token_of(crowd, owner) for owner in (CLIENT, STRANGER, COLLEAGUE))
    assert crowd.introspect(colleagues).json["client_id"] == COLLEAGUE
    assert crowd.introspect(theirs).json == {"active": False}
    assert crowd.introspect(mine, client_id=STRANGER).json == {"active": False}
    assert crowd.introspect(theirs, client_id=STRANGER).json["active"]
    assert crowd.introspect(theirs).body == crowd.introspect("no.token.here").body


def test_a_token_ends_at_its_second(office: Office) -> None:
    token = token_of(office)
    office.clock.advance(3599.999)
    assert office.is_active(token)
    office.clock.advance(0.001)
    assert not office.is_active(token)
    assert office.revoke(token).status == 200
    with office.engine.connect() as connection:
        assert connection.execute(select(revoked_tokens)).all() == []


@pytest.mark.parametrize(
    ("table", "row", "values"),
    [
        (credentials, COLLEAGUE, {"revoked_at": 1}),
        (credentials, COLLEAGUE, {"expires_at": 1}),
    ],
)
def test_a_token_is_over_with_its_client(
    crowd: Office, table: object, row: str, values: dict[str, int]
) -> None:
    token = token_of(crowd, COLLEAGUE)
    assert crowd.is_active(token)
    crowd.change(table, row, **values)
    assert not crowd.is_active(token)


def test_a_right_that_was_taken_away_is_not_said_any_more(office: Office) -> None:
    token = token_of(office)
    office.change(organizations, "org_a", scopes='["chat"]')
    assert office.introspect(token).json["scope"] == "chat"


def test_a_token_of_another_issuer(make_office: Callable[..., Office], office: Office) -> None:
    """Signed with our key, for somebody else."""
    header, claims, key = pieces(office)
    assert office.is_active(jwt.encode(header, claims, key, ["ES256"]))
    for change in ({"iss": "https://other"}, {"aud": "https://other"}, {"aud": [ISSUER]}, {"sub": "client_x"},
                   {"exp": "tomorrow"}, {"exp": 0}, {"exp": True}, {"jti": None}, {"client_id": COLLEAGUE}):  # fmt: skip
        assert not office.is_active(jwt.encode(header, {**claims, **change}, key, ["ES256"])), change
    for missing in claims:
        less = {name: value for name, value in claims.items() if name != missing}
        assert not office.is_active(jwt.encode(header, less, key, ["ES256"])), missing


def test_headers_that_are_not_ours(office: Office) -> None:
    header, claims, key = pieces(office)
    other = ECKey.generate_key("P-256")
    loose = jws.JWSRegistry(algorithms=["ES256", "HS256", "none"], strict_check_header=False)
    forged = {
        "no typ": jwt.encode({k: v for k, v in header.items() if k != "typ"}, claims, key, ["ES256"]),
        "other typ": jwt.encode({**header, "typ": "JWT"}, claims, key, ["ES256"]),
        "no kid": jwt.encode({k: v for k, v in header.items() if k != "kid"}, claims, key, ["ES256"]),
        "other kid": jwt.encode({**header, "kid": "tk_0"}, claims, key, ["ES256"]),
        "other key": jwt.encode(header, claims, other, ["ES256"]),
        "brought key": jwt.encode({**header, "jwk": other.as_dict(private=False)}, claims, other, ["ES256"]),
        "jku": jwt.encode({**header, "jku": "https://evil.example"}, claims, key, ["ES256"]),
        "x5u": jwt.encode({**header, "x5u": "https://evil.example"}, claims, key, ["ES256"]),
        "crit": jwt.encode({**header, "crit": ["kid"]}, claims, key, ["ES256"]),
        "public key as HMAC secret": signed_with_hmac(header, claims, key.as_pem(private=False)),
        "further": jwt.encode({**header, "x": 1}, claims, key, registry=loose),
    }
    good = jwt.encode(header, claims, key, ["ES256"])
    forged["none"] = (
        good.replace(good.split(".")[0], "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0").rpartition(".")[0] + "."
    )
    forged["no signature"] = good.rpartition(".")[0] + "."
    assert office.is_active(good)
    for name, token in forged.items():
        assert not office.is_active(token), name


def test_500_mutations_of_a_token_are_all_inactive(office: Office) -> None:
    token = token_of(office)
    chance = random.Random(20261121)
    alphabet = string.ascii_letters + string.digits + "-_.=+/ \0é"
    tried: set[str] = set()
    while len(tried) < 500:
        place = chance.randrange(len(token))
        kind = chance.randrange(5)
        if kind == 0:
            changed = token[:place] + chance.choice(alphabet) + token[place + 1 :]
        elif kind == 1:
            changed = token[:place] + token[place + 1 :]
        elif kind == 2:
            changed = token[:place] + chance.choice(alphabet) + token[place:]
        elif kind == 3:
            changed = token[:place]
        else:
            parts = token.split(".")
            chance.shuffle(parts)
            changed = ".".join(parts) + chance.choice(("", "=", ".", "A"))
        if changed != token:
            tried.add(changed)
    read = [changed for changed in sorted(tried) if office.is_active(changed)]
    assert read == []
    assert office.is_active(token)


def test_loose_bits_make_another_token(office: Office) -> None:
    """The last letter of a signature has bits that mean nothing; only one spelling is read."""
    token = token_of(office)
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    last = alphabet.index(token[-1])
    for bits in range(1, 16):
        assert not office.is_active(token[:-1] + alphabet[last ^ bits])


def signed_with_hmac(header: dict[str, str], claims: dict[str, object], secret: bytes) -> str:
    """By hand: the library refuses to do it."""
    parts = [urlsafe_b64encode(msgspec.json.encode(part)) for part in ({**header, "alg": "HS256"}, claims)]
    parts.append(urlsafe_b64encode(hmac.digest(secret, b".".join(parts), "sha256")))
    return b".".join(parts).decode()


def pieces(office: Office) -> tuple[dict[str, str], dict[str, object], ECKey]:
    """What a token of ours is made of, the private key included."""
    token = token_of(office)
    with office.engine.connect() as connection:
        (row,) = read_token_keys(connection)
    key = KeyRing(office.vault).private(row)
    found = jwt.decode(token, key, ["ES256"])
    return dict(found.header), dict(found.claims), key

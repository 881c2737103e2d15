"""The picture of who there is: gathered in pieces, replaced by versions, noticed by whoever remembers."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from abyssal.gateway.auth.directory import Directory
from abyssal.stores.api_keys import digest_of
from abyssal.stores.rights import ALL_SCOPES, BITS
from abyssal.stores.snapshot import (
    KEPT_REVOKED,
    CredentialRecord,
    Entry,
    ProjectRecord,
    RevokedToken,
    SecretRecord,
    Snapshot,
    TokenKey,
    encode_record,
)

HASH_KEY = bytes(range(32))
PROJECT = ProjectRecord("proj_1", "org_1", ALL_SCOPES, None, (), True)


def record(name: str, **fields: Any) -> CredentialRecord:
    standard: dict[str, Any] = {"kind": "api_key", "project": "proj_1", "user": "", "scopes": ALL_SCOPES}
    return CredentialRecord(
        id=name, **standard | {"models": None, "networks": None, "expires_at": 0} | fields
    )


def key_entry(key: str, **fields: Any) -> Entry:
    return Entry(digest_of(key.encode(), HASH_KEY), encode_record(record(f"key_{key}", **fields)))


def whole(*entries: Entry, version: int = 1, projects: tuple[ProjectRecord, ...] = (PROJECT,)) -> Snapshot:
    return Snapshot(version, whole=True, projects=projects, entries=entries, hash_key=HASH_KEY)


def test_a_key_is_found_by_its_hash_and_another_credential_by_its_id() -> None:
    directory = Directory()
    secret = SecretRecord(b"s", 0)
    client = Entry(b"client_1", encode_record(record("client_1", kind="client", secrets=(secret,))))
    assert directory.take(whole(key_entry("a"), client))
    found = directory.of_key(b"a")
    assert found is not None
    assert found.id == "key_a"
    assert directory.of_key(b"a") is found
    assert directory.of_key(b"b") is None
    assert directory.of_id("key_a") is None
    other = directory.of_id("client_1")
    assert other is not None
    assert other.secrets == (secret,)


def test_a_whole_picture_takes_its_place_only_when_it_is_complete() -> None:
    directory = Directory()
    directory.take(whole(key_entry("a")))
    before = directory.of_key(b"a")
    assert before is not None
    assert not directory.take(Snapshot(2, whole=True, last=False, projects=(PROJECT,)))
    assert not directory.take(Snapshot(2, last=False, entries=(key_entry("b"),)))
    assert directory.of_key(b"a") is before
    assert directory.of_key(b"b") is None
    assert directory.version == 1
    assert directory.take(Snapshot(2))
    assert directory.version == 2
    assert directory.of_key(b"a") is None
    assert directory.of_key(b"b") is not None
    assert not before.live


def test_a_change_is_noticed_by_who_remembers() -> None:
    directory = Directory()
    directory.take(whole(key_entry("a"), key_entry("b")))
    one, other = directory.of_key(b"a"), directory.of_key(b"b")
    assert one is not None
    assert other is not None
    directory.take(Snapshot(2, entries=(key_entry("a", scopes=BITS["chat"]),)))
    assert not one.live
    assert other.live
    newer = directory.of_key(b"a")
    assert newer is not None
    assert newer.principal.scopes == BITS["chat"]
    directory.take(Snapshot(3, entries=(Entry(digest_of(b"a", HASH_KEY), b""),)))
    assert not newer.live
    assert directory.of_key(b"a") is None
    directory.take(Snapshot(4, entries=(Entry(b"never there", b""),)))


def test_a_project_s_change_reaches_credentials_that_are_in_use() -> None:
    directory = Directory()
    directory.take(whole(key_entry("a", models=("m", "n"))))
    found = directory.of_key(b"a")
    assert found is not None
    assert found.principal.may_use("m")
    narrower = ProjectRecord(
        "proj_1", "org_1", BITS["chat"], ("n",), (("10.0.0.0/8",), ("10.1.0.0/16",)), True
    )
    directory.take(Snapshot(2, projects=(narrower,)))
    assert found.live
    assert found.principal.scopes == BITS["chat"]
    assert not found.principal.may_use("m")
    assert found.principal.may_use("n")
    assert found.admits("10.1.2.3")
    assert not found.admits("10.2.2.3")
    assert not found.admits("")


def test_a_credential_of_an_unknown_project_is_nobody_s() -> None:
    directory = Directory()
    directory.take(whole(key_entry("a", project="proj_2")))
    assert directory.of_key(b"a") is None


def test_revoked_tokens_are_forgotten_long_after_they_would_have_ended() -> None:
    directory = Directory()
    directory.take(whole())
    directory.take(Snapshot(2, revoked_tokens=(RevokedToken("a", 100), RevokedToken("b", 200))))
    directory.take(Snapshot(3, revoked_tokens=(RevokedToken("a", 100),)))
    directory.forget_ended(100 + KEPT_REVOKED)
    assert directory.is_revoked("a"), "a clock that jumps ahead and back must not revive it"
    directory.forget_ended(101 + KEPT_REVOKED)
    assert not directory.is_revoked("a")
    assert directory.is_revoked("b")


def test_token_keys_are_replaced_as_a_whole_and_kept_when_nothing_is_said() -> None:
    directory = Directory()
    directory.take(Snapshot(1, whole=True, token_keys=(TokenKey("tk_1", b"pem"),)))
    directory.take(Snapshot(2))
    assert set(directory.token_keys) == {"tk_1"}
    directory.take(Snapshot(3, token_keys=()))
    assert directory.token_keys == {}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20), st.booleans())
def test_pieces_in_order_give_the_newest_state(changes: list[tuple[str, bool]], used_between: bool) -> None:
    directory = Directory()
    directory.take(whole())
    expected: dict[str, int] = {}
    for version, (key, present) in enumerate(changes, 2):
        entry = key_entry(key, expires_at=version)
        directory.take(Snapshot(version, entries=(entry if present else Entry(entry.lookup, b""),)))
        if used_between:
            for name in "abc":
                directory.of_key(name.encode())
        if present:
            expected[key] = version
        else:
            expected.pop(key, None)
    found = {key: directory.of_key(key.encode()) for key in "abc"}
    assert {key: one.expires_at for key, one in found.items() if one is not None} == expected

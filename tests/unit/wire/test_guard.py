"""Two parsers never read two different values of a key that the gateway reads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abyssal.wire.errors import BadRequestError
from abyssal.wire.guard import MAX_DEPTH, KeyGuard, check_text

NAMES = ("model", "stream", "max_tokens", "messages", "n")
GUARD = KeyGuard(NAMES)
FOLDED = {
    "s": "ſ",
    "k": "\N{KELVIN SIGN}",
    "ss": "ß",
}  # what str.casefold and Go's encoding/json take for equal

scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.sampled_from(NAMES)
tricky_texts = st.sampled_from(
    ['"model"', '"model":"x"', '\\"stream\\":', '{"model":1}', '",\\"n"', "\\", '\\"']
)
values = st.recursive(
    scalars | tricky_texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def spellings(draw: st.DrawFn, name: str) -> tuple[str, bytes]:
    """A key that somebody may take for `name`: as it decodes, and its bytes in a body."""
    if draw(st.integers(0, 3)) == 0:
        for plain, other in FOLDED.items():
            if plain in name and draw(st.booleans()):
                name = name.replace(plain, other, 1)
        if draw(st.booleans()):
            place = draw(st.integers(0, len(name) - 1))
            name = name[:place] + name[place].upper() + name[place + 1 :]
    written = ""
    for character in name:
        if ord(character) < 0x10000 and draw(st.integers(0, 5)) == 0:
            digits = f"{ord(character):04x}"
            written += "\\u" + draw(st.sampled_from((digits, digits.upper())))
        else:
            written += character
    return name, b'"%b"' % written.encode()


Pairs = list[tuple[str, bytes, bytes]]


@st.composite
def pairs(draw: st.DrawFn) -> Pairs:
    """The members of an object: each key as it decodes, its bytes, and its value's bytes."""
    members: Pairs = []
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.booleans()):
            key, written = draw(spellings(draw(st.sampled_from(NAMES))))
        else:
            key = draw(st.text(max_size=4))
            written = json.dumps(key, ensure_ascii=draw(st.booleans())).encode(errors="replace")
            key = json.loads(written)
        value = json.dumps(draw(values), ensure_ascii=draw(st.booleans()))
        members.append((key, written, value.encode(errors="replace")))
    return members


def body_of(members: Pairs, gap: bytes = b"") -> bytes:
    return b"{" + b",".join(gap + key + gap + b":" + gap + value + gap for _, key, value in members) + b"}"


def is_ambiguous(members: Pairs) -> bool:
    keys = [key for key, _, _ in members]
    cased = any(key not in NAMES and key.casefold() in NAMES for key in keys)
    return cased or any(keys.count(name) > 1 for name in NAMES)


def as_python_writes(members: Pairs) -> bytes:
    """With a blank after each comma and colon, as `json.dumps` does unless told otherwise."""
    return b"{" + b", ".join(key + b": " + value for _, key, value in members) + b"}"


@settings(deadline=None, max_examples=300)
@given(pairs(), st.sampled_from((body_of, as_python_writes, lambda m: body_of(m, b" "),
                                 lambda m: body_of(m, b"\r\n\t"))))  # fmt: skip
def test_a_body_is_refused_exactly_when_a_key_that_is_read_is_ambiguous(
    members: Pairs, write: Callable[[Pairs], bytes]
) -> None:
    body = write(members)
    try:
        msgspec.json.decode(body)
    except msgspec.DecodeError:
        return  # a lone surrogate: refused before the guard is asked
    if is_ambiguous(members):
        with pytest.raises(BadRequestError) as refusal:
            GUARD.check(body)
        assert refusal.value.code == "duplicate_key"
        assert refusal.value.param in NAMES
    else:
        GUARD.check(body)


@settings(deadline=None, max_examples=120)
@given(pairs())
def test_whoever_reads_an_accepted_body_reads_the_same_values(members: Pairs) -> None:
    body = body_of(members)
    try:
        ours = msgspec.json.decode(body)
        GUARD.check(body)
    except (msgspec.DecodeError, BadRequestError):
        return
    last_wins = json.loads(body)
    first_wins = json.loads(body, object_pairs_hook=lambda found: dict(reversed(found)))
    folding = {key.casefold(): value for key, value in last_wins.items()}
    for name in NAMES:
        there = [reading[name] for reading in (ours, last_wins, folding) if name in reading]
        assert len(there) in (0, 3)
        assert all(value == there[0] for value in there)
        assert (name in first_wins) == (name in ours)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","model":"a"}',
        b'{"model":"a","\\u006dodel":"b"}',
        b'{"\\u006dodel":"a","\\u006Dodel":"b"}',
        b'{"\\u006dodel":"a","model":"b"}',
        b'{"stream":true,"x":{"stream":1},"stream":false}',
        b'{"model":"\\"model\\":","model":"b"}',
        b'{"model": "a", "n":1,"n":2}',
        b'{"n":1,"n":2,"model":"a","stream":1,"max_tokens":2,"x":3,"y":4}',
        b'{"a": 1, "n":1,"n":2,   "b": 3}',
        b'{"Model":"a"}',
        b'{"MODEL":"a","model":"b"}',
        '{"ſtream":true}'.encode(),
        b'{"\\u017ftream":true}',
        '{"max_to\N{KELVIN SIGN}ens":1}'.encode(),
        b'{"max_to\\u212aens":1}',
        '{"meßages":[]}'.encode(),
        '{"meſsages":[],"messages":[]}'.encode(),
    ],
)
def test_doubled_keys_in_every_disguise(body: bytes) -> None:
    with pytest.raises(BadRequestError) as refusal:
        GUARD.check(body)
    assert refusal.value.status_code == 400
    assert refusal.value.param in NAMES


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"model":"a"}',
        b'{"\\u006dodel":"a"}',
        b'{"model":"model","messages":[{"model":"x","model":"y"}]}',
        b'{"model":"a","x":"\\"model\\""}',
        b'{"model":"a","x":"y\\"model"}',
        b'{"unknown":1,"unknown":2,"Unknown":3}',
        b'{"models":1,"mode":2,"model ":3,"model":"a"}',
        b'{"model":"a","x":' + b"9" * 5000 + b',"y":"\\u0041"}',
        b'{"model":"a","x":1e99999,"y":"\\u0041"}',
        b'{"model":"a","x":-0.000,"y":"\\u0000"}',
    ],
)
def test_what_only_looks_doubled_passes(body: bytes) -> None:
    GUARD.check(body)


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return b'{"x":' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b"[ ", b"\n]")])
def test_the_nesting_limit_is_exact(opening: bytes, closing: bytes) -> None:
    at_most = nested(MAX_DEPTH, opening, closing)
    check_text(at_most)
    msgspec.json.decode(at_most)
    with pytest.raises(BadRequestError) as refusal:
        check_text(nested(MAX_DEPTH + 1, opening, closing))
    assert refusal.value.code == "nested_too_deeply"


def test_mixed_nesting_is_counted_together() -> None:
    one = b'[{"a":'
    check_text(one * 64 + b"1" + b"}]" * 64)
    with pytest.raises(BadRequestError, match="128"):
        check_text(one * 65 + b"1" + b"}]" * 65)


@pytest.mark.parametrize(
    "inside",
    [
        b"[" * 500,
        b"{" * 500,
        b"]" * 500,
        b"}{][" * 200,
        b'\\"[' * 300,
        b"\\\\" + b"[" * 300,
        b'\\\\\\"' + b"{" * 300,
    ],
)
def test_brackets_in_strings_do_not_count(inside: bytes) -> None:
    body = b'{"x":["' + inside + b'","' + inside + b'"],"' + inside + b'":1}'
    msgspec.json.decode(body)
    check_text(body)


def test_many_shallow_brackets_are_not_deep() -> None:
    check_text(b"[" + b",".join([b'{"a":["[",[]],"b]":{}}'] * 1000) + b"]")


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@settings(deadline=None, max_examples=80)
@given(
    st.recursive(
        st.text(alphabet='[]{}"\\a', max_size=6),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(st.text(alphabet='[]{}"\\', max_size=3), inner, min_size=1, max_size=2)
        ),
    ),
    st.integers(MAX_DEPTH - 8, MAX_DEPTH + 2),
)
def test_depth_is_what_a_parser_finds(value: Any, around: int) -> None:
    for _ in range(around):
        value = [value]
    body = json.dumps(value).encode()
    if depth_of(value) > MAX_DEPTH:
        with pytest.raises(BadRequestError):
            check_text(body)
    else:
        check_text(body)


@pytest.mark.parametrize("body", [b"[" * 1_000_000, b'{"a":' * 200_000, b"[" * 129, b'[{"":' * 300])
def test_what_opens_and_never_closes_is_too_deep(body: bytes) -> None:
    with pytest.raises(BadRequestError) as refusal:
        check_text(body)
    assert refusal.value.code == "nested_too_deeply"


def test_a_truncated_body_is_not_called_deep() -> None:
    check_text(b'{"x":[' + b"[]," * 200)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"x":"\xff"}', 6),
        (b'{"x":"\xc0\x80"}', 6),
        (b'{"x":"\xed\xa0\x80"}', 6),
        (b'{"x\xc3":1}', 3),
        (b"\xfe\xff", 0),
    ],
)
def test_what_is_not_utf8_is_refused_with_its_place(body: bytes, place: int) -> None:
    with pytest.raises(BadRequestError, match=f"byte {place} ") as refusal:
        check_text(body)
    assert refusal.value.code == "invalid_utf8"


def test_all_of_unicode_is_utf8() -> None:
    check_text('{"x":"é 你好 \U0001f40b \\ud83d"}'.encode())


def seconds_of_cpu(body: bytes) -> float:
    """The least of three, since others use the machine too."""

    def once() -> float:
        start = time.process_time()
        check_text(body)
        GUARD.check(body)
        return time.process_time() - start

    return min(once() for _ in range(3))


MEGABYTE = 1_000_000
FILLINGS = {
    "escaped quotes and brackets": b'\\"[',
    "short strings": b'","',
    "backslashes": b"\\\\",
    "escapes": b"x\\u00e9",
    "brackets": b"][}{",
    "key look-alikes": b'model\\"',
}


@pytest.mark.parametrize("filling", list(FILLINGS.values()), ids=list(FILLINGS))
def test_a_large_body_is_judged_quickly(filling: bytes) -> None:
    text = filling * (MEGABYTE // len(filling))
    body = b'{"model":"m","messages":[[[[]]]' + b",[]" * 200 + b',"' + text + b'"]}'
    msgspec.json.decode(body)
    assert seconds_of_cpu(body) < 0.05


def test_a_string_that_never_ends_costs_no_more_than_one_that_does() -> None:
    body = b"[" * 128 + b"[]" * 2 + b'"' + b'\\"' * (MEGABYTE // 2)
    start = time.process_time()
    check_text(body)
    assert time.process_time() - start < 0.5

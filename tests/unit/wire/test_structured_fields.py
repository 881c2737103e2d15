"""RFC 9651, the part that signatures need: what is read, in which form it is written, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.wire.structured_fields import (
    InnerList,
    Item,
    StructuredFieldError,
    Token,
    byte_sequences,
    inner_lists,
    serialized,
    serialized_list,
)


def test_a_dictionary_of_lists() -> None:
    found = inner_lists(b'a=("x";p=1;q "y");created=12;alg="z", *b.c-d_1=()')
    assert found == {
        "a": InnerList((Item("x", {"p": 1, "q": True}), Item("y", {})), {"created": 12, "alg": "z"}),
        "*b.c-d_1": InnerList((), {}),
    }
    assert list(found) == ["a", "*b.c-d_1"]


def test_a_dictionary_of_bytes() -> None:
    assert byte_sequences(b"a=:AAE=:;p, b=::\t ,\t c=:/+8=:") == {"a": b"\0\1", "b": b"", "c": b"\xff\xef"}


WRITTEN = {
    b'a=(  "x"   "y"  ); b=1;  c': '("x" "y");b=1;c',
    b"a=();n=007": "();n=7",
    b"a=();n=-0": "();n=0",
    b"a=();n=?1;m=?0": "();n;m=?0",
    b'a=("\\"\\\\")': '("\\"\\\\")',
    b"a=();t=*to/k:en;u=:AA==:": "();t=*to/k:en;u=:AA==:",
    b"  a=()  ": "()",
}


@pytest.mark.parametrize(("field", "form"), list(WRITTEN.items()), ids=list(WRITTEN.values()))
def test_the_one_form(field: bytes, form: str) -> None:
    (found,) = inner_lists(field).values()
    assert serialized_list(found.items, found.parameters) == form


REFUSED = [
    b"", b" ", b"a", b"a=", b"a=1", b'a="x"', b"=()", b"A=()", b"a=(", b"a=)", b"a=()b=()", b"a=(),", b"a=(),,b=()",
    b",a=()", b"a=();", b"a=();B", b"a=();b=", b"a=();b=1.5", b"a=();b=1234567890123456", b"a=();b=@12",
    b'a=();b=%"x"', b'a=();b="x', b'a=();b="\x7f"', b'a=();b="\\x"', b"a=();b=:A:", b"a=();b=:AB==:",
    b"a=();b=:AAA:", b"a=();b=?2", b"a=();b=--1", b"a=(x)", b"a=(1)", b'a=("x""y")', b'a=("x"\t"y")', b'a=("x";1)',
    b"a=(), a=()", b"a=();b=1;b=1", b'a=("x";b;b)', b"a=()\n", b"a=();b=\xc3\xa9", b"a=() b", b"a =()", b"a= ()",
    b"a=();b =1", b"a=();b= 1", b"a=();\tb", b"a=(" + b'"x" ' * 33 + b")",
    b", ".join(b"a%d=()" % n for n in range(33)), b"a=()" + b"".join(b";b%d" % n for n in range(33)),
    b'a=("' + b"x" * 8200 + b'")',
]  # fmt: skip


@pytest.mark.parametrize("field", REFUSED, ids=lambda field: repr(field[:40]))
def test_lists_that_are_refused(field: bytes) -> None:
    with pytest.raises(StructuredFieldError):
        inner_lists(field)


@pytest.mark.parametrize(
    "field",
    [b"", b"a", b"a=1", b"a=()", b"a=:", b"a=:AA", b"a=:A A=:", b"a=:AAA:", b"a=:AB==:", b"a=:AA==:, a=:AA==:",
     b"a=:-_8=:", b"a=:AA==", b"a=:AA==:b", b"a=AA=="],
)  # fmt: skip
def test_bytes_that_are_refused(field: bytes) -> None:
    with pytest.raises(StructuredFieldError):
        byte_sequences(field)


keys = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,8}", fullmatch=True)
texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
items = st.one_of(
    texts,
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.booleans(),
    st.binary(max_size=12),
    st.from_regex(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]{0,8}", fullmatch=True).map(Token),
)
lists = st.builds(
    InnerList,
    st.lists(st.builds(Item, texts, st.dictionaries(keys, items, max_size=3)), max_size=5).map(tuple),
    st.dictionaries(keys, items, max_size=5),
)


@given(st.dictionaries(keys, lists, min_size=1, max_size=4))
def test_what_is_written_is_read_again(dictionary: dict[str, InnerList]) -> None:
    field = ", ".join(f"{name}={serialized_list(*one)}" for name, one in dictionary.items())
    found = inner_lists(field.encode())
    assert found == dictionary
    assert repr(found) == repr(dictionary)  # 1 and True, "a" and Token("a") are equal


@given(st.dictionaries(keys, st.binary(max_size=70), min_size=1, max_size=4))
def test_bytes_that_are_written_are_read_again(dictionary: dict[str, bytes]) -> None:
    field = ",".join(f"{name}={serialized(one)}" for name, one in dictionary.items())
    assert byte_sequences(field.encode()) == dictionary


@given(st.binary(max_size=60) | st.text("a=()\"';:, ?1A\\", max_size=40).map(str.encode))
def test_nothing_but_its_own_error(field: bytes) -> None:
    for read in (inner_lists, byte_sequences):
        try:
            found = read(field)
        except StructuredFieldError:
            continue
        assert found

"""Replacing a top-level value changes that value and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abyssal.wire.guard import replace_string, with_fields

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ['"model"', '"model":"x"', '\\"model\\":"y"', "model", "\\", '"', '":', '","model":"z']
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("model", "x")) | texts, inner, max_size=3)
    ),
    max_leaves=8,
)


def escaped(body: str, which: int) -> str:
    """`body` with one letter of its `which`-th "model" key spelled as an escape."""
    parts = body.split('"model"')
    if len(parts) < 2:
        return body
    at = 1 + which % (len(parts) - 1)
    return '"model"'.join(parts[:at]) + '"mo\\u0064el"' + '"model"'.join(parts[at:])


@settings(deadline=None, max_examples=250)
@given(
    st.dictionaries(texts.filter(lambda key: key != "model"), values, max_size=4),
    texts,
    texts,
    st.integers(0, 4),
    st.booleans(),
    st.sampled_from((None, 1)),
    st.none() | st.integers(0, 5),
)
def test_only_the_top_level_value_changes(
    others: dict[str, Any],
    old: str,
    new: str,
    place: int,
    plain: bool,
    indent: int | None,
    spelled: int | None,
) -> None:
    items = list(others.items())
    items.insert(place, ("model", old))
    body = json.dumps(dict(items), ensure_ascii=plain, indent=indent)
    if spelled is not None:
        disguised = escaped(body, spelled)
        if json.loads(disguised) == json.loads(body):
            body = disguised
    changed = replace_string(body.encode(), "model", new)
    assert json.loads(changed) == {**dict(items), "model": new}


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"old","n":1.50,"x":[1e2,  "a\\/b"]}',
        b' {\n  "n": 1.50,\t"model" : "old" ,\r\n"x":{"y":"\\u4e2d"}}\n',
        b'{"x":"model","model":"o\\"l\\\\d"}',
    ],
)
def test_every_other_byte_is_kept(body: bytes) -> None:
    changed = replace_string(body, "model", "new")
    before, _, after = changed.partition(b'"new"')
    assert body.startswith(before)
    assert body.endswith(after)
    assert json.loads(changed)["model"] == "new"


def test_values_below_the_top_keep_their_bytes_when_it_is_written_anew() -> None:
    body = b'{"model":"old","x":{"model": 1.50, "y":"\\u4e2d\\/"},"z":[1E2]}'
    changed = replace_string(body, "model", "new")
    assert b'{"model": 1.50, "y":"\\u4e2d\\/"}' in changed
    assert b"[1E2]" in changed
    assert json.loads(changed)["model"] == "new"


@pytest.mark.parametrize("name", ['quo"ted', "back\\slash", "new\nline", "中文", "\x00", r"\1\g<0>"])
def test_any_name_can_be_written(name: str) -> None:
    for body in (b'{"model":"old"}', b'{"model":"old","x":{"model":1}}'):
        assert json.loads(replace_string(body, "model", name))["model"] == name


def test_with_fields_adds_and_replaces() -> None:
    changed = json.loads(with_fields(b'{"a":1,"b":{"a":2}}', a=[3], c=None))
    assert changed == {"a": [3], "b": {"a": 2}, "c": None}

"""How many ways of reading an answer a schema leaves open at once: the engine's grammar follows each of them.

1. Alternatives that begin alike are followed side by side. Inside of each of them are further ones, so that
   levels multiply; what stands one after the other does not.
2. Where two that begin alike lead back to where they came from, each round doubles them: endlessly many.
   So is a reference that leads back to itself before anything of the answer was read.
3. Beginnings are told apart by the kind of JSON, by a constant, and for objects by a first property that is
   required and a constant.
"""

from __future__ import annotations

from typing import Any

from abyssal.wire.schema_tree import Schema, as_list, as_schema, children, target_of

ENDLESS = 1 << 30
_MOST_STEPS = 100_000  # of looking for ways back; more count as endless too
_Beginning = tuple[str, ...]
_ANY: _Beginning = ("any",)
_OBJECT: _Beginning = ("object",)


def ways_at_once(root: Schema) -> int:
    """The most ways that are open at once, `ENDLESS` where that has no bound."""
    try:
        return _Ways(root).of(root, consumed=True)
    except RecursionError:
        return ENDLESS


class _Ways:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._known: dict[int, int] = {}  # by a node's identity: the schema is not changed meanwhile
        self._open: dict[int, int] = {}  # nodes on the way here, and what of the answer was read before each
        self._read = 0
        self._steps = 0

    def of(self, node: Any, *, consumed: bool) -> int:
        """The ways of `node`; `consumed`: something of the answer was read since the node before."""
        if not isinstance(node, dict):
            return 1
        key = id(node)  # pyright: ignore[reportUnknownArgumentType]
        self._read += consumed
        if key in self._open:
            return 1 if self._open[key] < self._read else ENDLESS
        if key not in self._known:
            self._open[key] = self._read
            before = self._read
            self._known[key] = self._inside(as_schema(node))
            self._read = before
            del self._open[key]
        return self._known[key]

    def _inside(self, node: Schema) -> int:
        ways = [1]
        read = self._read
        if "$ref" in node:
            ways.append(self.of(target_of(self._root, node["$ref"]), consumed=False))
        ways += [self._alternatives(as_list(node.get(name))) for name in ("anyOf", "oneOf")]
        ways += [self.of(child, consumed=False) for child in as_list(node.get("allOf"))]
        for name, child in children(node):
            if name.startswith(("properties.", "items", "prefixItems", "additionalProperties")):
                ways.append(self.of(child, consumed=True))
                self._read = read
        return min(ENDLESS, max(ways))

    def _alternatives(self, options: list[Any]) -> int:
        """The most that begin alike, each with the ways inside of it."""
        ways: dict[_Beginning, int] = {}
        back: dict[_Beginning, int] = {}  # of those, how many lead back
        for option in options:
            inside = self.of(option, consumed=False)
            returns = self._returns(option)
            for beginning in set(self._beginnings(as_schema(option), 0)):
                ways[beginning] = ways.get(beginning, 0) + inside
                back[beginning] = back.get(beginning, 0) + returns
        if any(_alike(beginning, back) > 1 for beginning in back):
            return ENDLESS
        return max((_alike(beginning, ways) for beginning in ways), default=1)

    def _returns(self, option: Any) -> bool:
        """Whether a node on the way here can be reached from `option`."""
        seen: set[int] = set()
        waiting = [option]
        while waiting and self._steps < _MOST_STEPS:
            node = waiting.pop()
            if not isinstance(node, dict):
                continue
            if id(node) in self._open:  # pyright: ignore[reportUnknownArgumentType]
                return True
            if id(node) not in seen:  # pyright: ignore[reportUnknownArgumentType]
                seen.add(id(node))  # pyright: ignore[reportUnknownArgumentType]
                self._steps += 1
                found = as_schema(node)
                waiting += [child for _, child in children(found)]
                if "$ref" in found:
                    waiting.append(target_of(self._root, found["$ref"]))
        return bool(waiting)

    def _beginnings(self, node: Schema, depth: int) -> list[_Beginning]:
        if "$ref" in node:
            found = as_schema(target_of(self._root, node["$ref"]))
            return self._beginnings(found, depth + 1) if depth < 20 else [_ANY]
        if "const" in node or "enum" in node:
            return [("constant", repr(value)) for value in as_list(node.get("enum")) or [node.get("const")]]
        properties = as_schema(node.get("properties"))
        kinds = as_list(node.get("type")) or [node.get("type") or ("object" if properties else "any")]
        if kinds != ["object"]:
            return [(str(kind),) for kind in kinds]
        name = next(iter(properties), "")
        first = as_schema(properties.get(name))
        if name in as_list(node.get("required")) and ("const" in first or "enum" in first):
            return [("object", name, *one) for one in self._beginnings(first, depth + 1)]
        return [_OBJECT]


def _alike(beginning: _Beginning, counts: dict[_Beginning, int]) -> int:
    """The count of `beginning`, with those that it cannot be told from."""
    count = counts[beginning]
    if beginning != _ANY:
        count += counts.get(_ANY, 0)
    if beginning[0] == "object" and beginning != _OBJECT:
        count += counts.get(_OBJECT, 0)
    return count

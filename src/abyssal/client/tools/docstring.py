"""What a docstring says of a function and of its parameters, in Google's style or in Sphinx's.

Rules:
 1. The description is what is before the first section (`Args:`, `Returns:`, ...) or field (`:param x:`).
 2. In an `Args:` section a parameter begins with `name: text` or `name (type): text`, indented as the
    section's first line is; what is indented further goes on with it.
 3. A field's text goes on over the indented lines below it.
"""

from __future__ import annotations

import inspect
import re

_SECTION = re.compile(r"([A-Z][a-z]+(?: [A-Z]?[a-z]+)?):")
_ARGUMENTS = ("Args", "Arguments", "Parameters")
_PARAMETER = re.compile(r"(\w+)\s*(?:\([^)]*\))?:\s*(.*)")
_FIELD = re.compile(r":(?:param\s+(?:[^:]*\s)?(\w+)|\w+[^:]*):\s*(.*)")


def parse_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """The description, and what is said of each parameter by name."""
    told: list[str] = []
    found: dict[str, list[str]] = {}
    before_sections = True
    in_arguments = False
    depth = 0  # how far the parameters of the section are indented; 0 before its first line
    current: list[str] = []
    for line in inspect.cleandoc(text or "").splitlines():
        bare = line.strip()
        indent = len(line) - len(line.lstrip())
        section = None if indent else _SECTION.fullmatch(bare)
        field = None if indent else _FIELD.fullmatch(bare)
        if section is not None or field is not None:
            before_sections = False
            in_arguments = section is not None and section[1] in _ARGUMENTS
            depth = 0
            current = []
            if field is not None and field[1]:
                current = found.setdefault(field[1], [])
                current.append(field[2])
        elif before_sections:
            told.append(line)
        elif bare and not indent:
            in_arguments = False
            current = []
        elif in_arguments and bare and indent <= (depth or indent):
            depth = depth or indent
            parameter = _PARAMETER.fullmatch(bare)
            current = [] if parameter is None else found.setdefault(parameter[1], [])
            current.append(bare if parameter is None else parameter[2])
        else:
            current.append(bare)
    texts = {name: " ".join(part for part in parts if part) for name, parts in found.items()}
    return "\n".join(told).strip(), texts

"""What a docstring says of a function and of each parameter: Google's style, Sphinx's and NumPy's.

Google: an `Args:` section with `name (type): text`; Sphinx: `:param type name: text`; NumPy: `Parameters`,
underlined, with `name : type` and the text indented below. What is before all sections is the description.
"""

from __future__ import annotations

import inspect
import re

_SECTION = re.compile(
    r"(Args|Arguments|Parameters|Params|Returns?|Raises|Yields?|Examples?|Notes?|Attributes|See Also)\s*:?$"
)
_ARGUMENTS = ("Args", "Arguments", "Parameters", "Params")
_GOOGLE = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s+(.*)")
_NUMPY = re.compile(r"(\w+)\s*(?::.*)?$")
_SPHINX = re.compile(r":param\s+(?:[^:]*\s)?(\w+)\s*:\s*(.*)")
_FIELD = re.compile(r":\w+[^:]*:")


def parse_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """The description, and the text of each parameter by name; both without line breaks inside paragraphs."""
    lines = inspect.cleandoc(text or "").splitlines()
    told: list[str] = []
    found: dict[str, list[str]] = {}
    section: str | None = None
    underlined = False
    current: list[str] | None = None
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        bare = line.strip()
        indented = line[:1].isspace()
        heading = None if indented else _heading(bare, after)
        field = _SPHINX.match(bare)
        if heading is not None:
            section, underlined, current = heading, bool(_is_underline(after)), None
        elif field is not None:
            current = found.setdefault(field[1], [])
            current.append(field[2])
            section = section or ""
        elif _FIELD.match(bare) and not indented:
            section, current = section or "", None
        elif section is None:
            told.append(line)
        elif section in _ARGUMENTS and not _is_underline(bare):
            start = _NUMPY.match(line) if underlined else _GOOGLE.match(bare)
            if start is not None and (indented is not underlined) and _begins(line, current, underlined):
                current = found.setdefault(start[1], [])
                if not underlined:
                    current.append(start[2])
            elif current is not None:
                current.append(bare)
        elif current is not None and indented:
            current.append(bare)
    return _joined(told), {name: _joined(parts) for name, parts in found.items()}

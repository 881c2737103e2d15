"""What the `edit` commands do: names, limits and ends of what is there."""

from __future__ import annotations

from abyssal.cli.finding import Noun, find, place
from abyssal.cli.limits import Limits
from abyssal.cli.management import Object, Reach, opened
from abyssal.cli.moments import parse_moment
from abyssal.cli.showing import show_done
from abyssal.cli.tenants import within
from abyssal.clock import SystemClock
from abyssal.wire.errors import ConfigurationError

_NO_LIMIT = "any"
_NO_END = "never"


def changes_of(name: str | None, limits: Limits, expires: str | None = None) -> Object:
    """The fields of a change. `any` takes a limit away, `never` an end; what was not named stays."""
    changes: Object = {}
    if name is not None:
        changes["name"] = name.strip()
    for field, values in limits.fields().items():
        changes[field] = None if values == [_NO_LIMIT] else values
    if expires is not None:
        clock = SystemClock()
        changes["expires_at"] = None if expires == _NO_END else parse_moment(expires, "--expires", clock)
    return changes


def edit_object(
    noun: Noun, reach: Reach, which: str, changes: Object, *, org: str | None = None, as_json: bool
) -> None:
    """Change one object. Raises ConfigurationError when nothing is to be changed."""
    if not changes:
        raise ConfigurationError(
            f"There is nothing to change; `abyssal {noun.command} edit --help` shows what may be."
        )
    with opened(reach) as management:
        found = find(management, noun, which, within(management, org))
        changed = management.request("PATCH", place(noun, found["id"]), json=changes)
    show_done(changed, f"{changed['id']} ({changed['name']}) is changed now", as_json=as_json)

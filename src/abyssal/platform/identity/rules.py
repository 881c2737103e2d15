"""Who may do what, as one table and pure functions over it. It knows no SQL and no route.

1. Every management route needs the scope `admin` in the proof of who asks.
2. A caller stands as one of six: an operator, a person with one of four roles in the organisation that the
   credential belongs to, or a service (a credential that is nobody's).
3. The table says how far each standing reaches for each permission. What a caller cannot reach to read is
   hidden: the answer is the same as for what does not exist. What they can read but not do is denied.
4. Nobody acts in the name of somebody who may do more: a person of a higher role, or an operator.
5. A member and a service give no more than they have themselves; a member never the scope `admin`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

import msgspec

from abyssal.platform.identity.limits import Limits
from abyssal.stores.rights import BITS

Permission = Literal[
    "caller:read",
    "organization:read",
    "organization:create",
    "organization:change",
    "organization:archive",
    "project:read",
    "project:create",
    "project:change",
    "project:archive",
    "member:read",
    "member:create",
    "member:change",
    "member:remove",
    "credential:read",
    "credential:create",
    "credential:change",
    "credential:rotate",
    "credential:revoke",
    "notification:read",
]
Standing = Literal["operator", "owner", "admin", "member", "viewer", "service"]
Verdict = Literal["allowed", "denied", "hidden"]

_RANK = {"viewer": 1, "member": 2, "admin": 3, "owner": 4}


class Reach(IntEnum):
    """How far a permission goes."""

    NOTHING = 0
    OWN = 1  # what belongs to the caller's own person
    PROJECT = 2  # what is in the credential's project
    ORGANIZATION = 3  # what is in the credential's organisation
    EVERYTHING = 4


_ALL, _ORG, _PROJ = Reach.EVERYTHING, Reach.ORGANIZATION, Reach.PROJECT
_OWN, _NONE = Reach.OWN, Reach.NOTHING
_STANDINGS: tuple[Standing, ...] = ("operator", "owner", "admin", "member", "viewer", "service")
# fmt: off
_TABLE: dict[Permission, tuple[Reach, ...]] = {
    #                        operator owner  admin  member viewer service
    "caller:read":           (_ALL,    _ORG,  _ORG,  _ORG,  _ORG,  _PROJ),
    "organization:read":     (_ALL,    _ORG,  _ORG,  _ORG,  _ORG,  _NONE),
    "organization:create":   (_ALL,    _NONE, _NONE, _NONE, _NONE, _NONE),
    "organization:change":   (_ALL,    _ORG,  _NONE, _NONE, _NONE, _NONE),
    "organization:archive":  (_ALL,    _NONE, _NONE, _NONE, _NONE, _NONE),
    "project:read":          (_ALL,    _ORG,  _ORG,  _ORG,  _ORG,  _PROJ),
    "project:create":        (_ALL,    _ORG,  _ORG,  _NONE, _NONE, _NONE),
    "project:change":        (_ALL,    _ORG,  _ORG,  _NONE, _NONE, _NONE),
    "project:archive":       (_ALL,    _ORG,  _ORG,  _NONE, _NONE, _NONE),
    "member:read":           (_ALL,    _ORG,  _ORG,  _ORG,  _ORG,  _NONE),
    "member:create":         (_ALL,    _ORG,  _ORG,  _NONE, _NONE, _NONE),
    "member:change":         (_ALL,    _ORG,  _ORG,  _NONE, _NONE, _NONE),
    "member:remove":         (_ALL,    _ORG,  _ORG,  _NONE, _NONE, _NONE),
    "credential:read":       (_ALL,    _ORG,  _ORG,  _ORG,  _ORG,  _PROJ),
    "credential:create":     (_ALL,    _ORG,  _ORG,  _OWN,  _NONE, _PROJ),
    "credential:change":     (_ALL,    _ORG,  _ORG,  _OWN,  _NONE, _PROJ),
    "credential:rotate":     (_ALL,    _ORG,  _ORG,  _OWN,  _NONE, _PROJ),
    "credential:revoke":     (_ALL,    _ORG,  _ORG,  _OWN,  _NONE, _PROJ),
    "notification:read":     (_ALL,    _ORG,  _ORG,  _ORG,  _ORG,  _NONE),
}
# fmt: on


class Caller(msgspec.Struct, frozen=True):
    """Who asks: a credential and the person behind it, read anew for each request.

    `credential` is "" for the owner of the data directory, who needs none; `organization` and `project` are
    then "" too. `user` is None for a service. `limits`: what the proof, the credential, its project and its
    organisation all allow.
    """

    credential: str
    user: str | None
    organization: str
    project: str
    role: str | None
    operator: bool
    limits: Limits

    @property
    def standing(self) -> Standing:
        """Which column of the table is theirs."""
        if self.operator:
            return "operator"
        for standing in _STANDINGS:
            if standing == self.role:
                return standing
        return "service"

    @property
    def administers(self) -> bool:
        """Whether the proof carries the scope that management needs."""
        return bool(self.limits.scopes & BITS["admin"])


LOCAL = Caller("", None, "", "", None, True, Limits())


class Located(msgspec.Struct, frozen=True):
    """Where an object is: in which organisation, in which project, whose. None: in none, nobody's."""

    organization: str
    project: str | None = None
    user: str | None = None


def reach(caller: Caller, permission: Permission) -> Reach:
    """The table's cell."""
    return _TABLE[permission][_STANDINGS.index(caller.standing)]


def judge(caller: Caller, permission: Permission, what: Located) -> Verdict:
    """Whether `caller` has `permission` for what is at `what`.

    For a creation `what` is the place that the new object would have; who cannot read it there is denied,
    since nothing is hidden that is not there yet.
    """
    if _covers(caller, reach(caller, permission), what):
        return "allowed"
    family, _, action = permission.partition(":")
    if action == "create":
        return "denied"
    return "denied" if _covers(caller, reach(caller, _READING[family]), what) else "hidden"


def may_act_as(caller: Caller, user: str | None, role: str | None, operator: bool) -> bool:
    """Whether `caller` may hold or make what acts as `user` (None: as nobody), who is `role` there."""
    if user is None or caller.operator or (caller.user is not None and caller.user == user):
        return True
    if operator or caller.standing == "service":
        return False
    return _RANK[caller.standing] >= _RANK.get(role or "", 0)


def may_give_role(caller: Caller, role: str) -> bool:
    """Whether `caller` may make somebody `role`, or take that role from them."""
    return caller.operator or _RANK.get(caller.standing, 0) >= _RANK[role]


def ceiling(caller: Caller) -> Limits | None:
    """The most that `caller` may give; None where only project and organisation limit it."""
    if caller.standing == "member":
        return msgspec.structs.replace(caller.limits, scopes=caller.limits.scopes & ~BITS["admin"])
    return caller.limits if caller.standing == "service" else None


_READING: dict[str, Permission] = {
    permission.partition(":")[0]: permission for permission in _TABLE if permission.endswith(":read")
}


def _covers(caller: Caller, far: Reach, what: Located) -> bool:
    if far is Reach.EVERYTHING:
        return True
    if far is Reach.NOTHING or what.organization != caller.organization:
        return False
    if far is Reach.PROJECT:
        return what.project == caller.project
    return far is Reach.ORGANIZATION or (what.user is not None and what.user == caller.user)

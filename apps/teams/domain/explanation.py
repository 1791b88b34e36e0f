"""Why somebody may, or may not, do something to an object: `decide`, in sentences.

What is allowed is never worked out here a second time: each grant is put to `decide` alone, and
the answer is allowed where one of them is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from apps.core.rights import Grant, Place, decide

_NOUNS = {"device": "device", "device_group": "group", "team": "team", "rollout": "rollout"}


@dataclass(frozen=True, slots=True)
class StandingGroup:
    """A device group that an object stands in, and its owner; without a name if it is not shown."""

    group_id: UUID
    name: str = ""
    team_id: UUID | None = None

    @property
    def place(self) -> Place:
        """The group alone."""
        teams = frozenset({self.team_id} if self.team_id else ())
        return Place(frozenset({self.group_id}), teams)


@dataclass(frozen=True, slots=True)
class Standing:
    """An object, and where it stands.

    `is_in_all` is for what concerns all of its groups at once, such as a rollout: a right has to
    reach each of them. A device needs to be reached in one. `team_id` is set for a team itself.
    """

    kind: str
    id: UUID
    name: str
    groups: tuple[StandingGroup, ...] = ()
    is_in_all: bool = False
    team_id: UUID | None = None

    @property
    def places(self) -> tuple[Place, ...]:
        """The places that a right has to reach, every one of them."""
        if self.team_id is not None:
            return (Place(team_ids=frozenset({self.team_id})),)
        each = tuple(group.place for group in self.groups)
        if self.is_in_all and each:
            return each
        return (
            Place(
                frozenset(g for place in each for g in place.group_ids),
                frozenset(t for place in each for t in place.team_ids),
            ),
        )


@dataclass(frozen=True, slots=True)
class Explained:
    """One permission on one object: whether it is held there, and every reason."""

    permission: str
    allowed: bool
    because: tuple[str, ...]


def explain(
    grants: Sequence[Grant], permission: str, standing: Standing, *, is_per_group: bool
) -> Explained:
    """What `decide` says about a permission on an object, and why."""
    allowed = all(decide(grants, permission, place).allowed for place in standing.places)
    reasons = _for(grants, permission, standing) if allowed else ()
    if not allowed:
        reasons = _against(grants, permission, standing, is_per_group=is_per_group)
    return Explained(permission, allowed, tuple(dict.fromkeys(reasons)))


def _for(grants: Iterable[Grant], permission: str, standing: Standing) -> Iterable[str]:
    for grant in grants:
        if any(decide([grant], permission, place) for place in standing.places):
            yield _where(grant, standing)


def _where(grant: Grant, standing: Standing) -> str:
    """A grant with the groups through which it reaches the object."""
    if grant.team_id is None or standing.kind in ("organization", "team"):
        return grant.because
    owned = [g.name for g in standing.groups if g.team_id == grant.team_id and g.name]
    return f"{grant.because}, which owns {_listed(owned)}" if owned else grant.because


def _against(
    grants: Sequence[Grant], permission: str, standing: Standing, *, is_per_group: bool
) -> Iterable[str]:
    """Every grant that comes near, and what it lacks; then what nobody has given."""
    for grant in grants:
        holds = permission in grant.permissions
        reaches = any(grant.reaches(place) for place in standing.places)
        if grant.is_everywhere or (reaches and not holds):
            yield f"{_where(grant, standing)} does not include it"
        elif holds and is_per_group and not reaches:
            yield f"{grant.because} holds it, but {_misses(grant, standing)}"
        elif holds and is_per_group:
            yield f"{_where(grant, standing)} holds it there, but not on everything it is about"
    if standing.kind == "organization":
        return
    if is_per_group:
        yield from _nothing_given(grants, standing)
    else:
        yield "it can only be held in the whole organization"


def _misses(grant: Grant, standing: Standing) -> str:
    noun = _NOUNS.get(standing.kind, "object")
    if standing.kind == "organization":
        return "only there, not in the whole organization"
    if standing.kind == "team":
        return "that is not this team"
    if grant.team_id is not None:
        if standing.kind == "device_group":
            return "that team does not own this group"
        return f"that team owns no group of this {noun}"
    return f"this {noun} is not in that group" if noun != "group" else "that is another group"


def _nothing_given(grants: Sequence[Grant], standing: Standing) -> Iterable[str]:
    """What is missing altogether: groups, owners, or a team that the person is in."""
    noun = _NOUNS.get(standing.kind, "object")
    teams = {grant.team_id for grant in grants if grant.team_id}
    if standing.kind == "team":
        if standing.team_id not in teams:
            yield "not in this team"
        return
    if not standing.groups:
        yield f"this {noun} is in no group: only rights in the whole organization reach it"
        return
    owners = {group.team_id for group in standing.groups if group.team_id}
    if not owners & teams:
        owns = "owns this group" if noun == "group" else f"owns a group of this {noun}"
        yield f"not in any team that {owns}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"“{name}”" for name in names[:3])
    more = f" and {len(names) - 3} more groups" if len(names) > 3 else ""
    return f"the group{'s' if len(names) > 1 else ''} {shown}{more}"

"""The one decision about rights: pure, the same for every door, for lists and for explanations.

A grant is a set of permissions that holds in the whole organization, in the device groups of one
team, or in one device group. An object stands in the device groups that it is in. Rights are never
merged across groups: what somebody may do in one group says nothing about a device of another, and
a device in both has the union for itself only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Grant:
    """Permissions, and where they hold; neither a team nor a group means the whole organization.

    `because` says in words where they come from, as "role operator in the team Lab".
    """

    permissions: frozenset[str]
    because: str
    team_id: UUID | None = None
    group_id: UUID | None = None

    @property
    def is_everywhere(self) -> bool:
        """Whether it holds in the whole organization."""
        return self.team_id is None and self.group_id is None

    def reaches(self, place: "Place") -> bool:
        """Whether it holds for an object at `place`."""
        if self.team_id is not None:
            return self.team_id in place.team_ids
        return self.group_id is None or self.group_id in place.group_ids


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object stands: its device groups, and the teams that own those groups."""

    group_ids: frozenset[UUID] = frozenset()
    team_ids: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Reach:
    """The device groups, and the teams whose groups, a right is limited to. Falsy where none."""

    group_ids: frozenset[UUID] = frozenset()
    team_ids: frozenset[UUID] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.group_ids or self.team_ids)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed; `because` lists every grant that allows it. Truthy if so."""

    allowed: bool
    because: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.allowed


NOWHERE = Place()
"""What stands in no device group is reached by organization-wide rights only."""


def decide(grants: Iterable[Grant], permission: str, place: Place = NOWHERE) -> Decision:
    """Whether `grants` allow `permission` on an object at `place`, and which of them do."""
    reasons = tuple(
        grant.because
        for grant in grants
        if permission in grant.permissions and grant.reaches(place)
    )
    return Decision(bool(reasons), reasons)

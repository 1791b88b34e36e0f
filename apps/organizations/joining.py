"""What somebody who joins an organization gets beside the membership: places in teams.

Teams stand above organizations: they register here when they are ready.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from apps.core.actors import Actor
from apps.core.errors import invalid


@dataclass(frozen=True, slots=True)
class TeamPlace:
    """A team, and what somebody is to be in it."""

    team_id: UUID
    role: str


class Teams(Protocol):
    """What organizations ask of teams."""

    def check(self, actor: Actor, places: Sequence[TeamPlace]) -> None:
        """Raises unless the actor may put somebody into these teams with these roles."""

    def join(self, actor: Actor, user_id: UUID, places: Sequence[TeamPlace]) -> None:
        """Puts a member into the teams, with the rights of `actor`, who invited them."""

    def names(self, organization_id: UUID, user_ids: Sequence[UUID]) -> Mapping[UUID, list[str]]:
        """The names of each person's teams."""

    def choices(self, actor: Actor) -> list[tuple[UUID, str]]:
        """The teams that the actor may put somebody into."""


_TEAMS: list[Teams] = []


def register_teams(teams: Teams) -> None:
    """Says who knows the teams."""
    _TEAMS[:] = [teams]


def check_places(actor: Actor, places: Sequence[TeamPlace]) -> None:
    """Raises unless the actor may put somebody into these teams."""
    if places and not _TEAMS:
        raise invalid("teams", "no_teams", "There are no teams here.")
    for teams in _TEAMS:
        teams.check(actor, places)


def join_places(actor: Actor, user_id: UUID, places: Sequence[TeamPlace]) -> None:
    """Puts a new member into the teams of their invitation."""
    for teams in _TEAMS:
        teams.join(actor, user_id, places)


def team_names(organization_id: UUID, user_ids: Sequence[UUID]) -> Mapping[UUID, list[str]]:
    """The names of each person's teams; people without a team may be missing."""
    found: Mapping[UUID, list[str]] = {}
    for teams in _TEAMS:
        found = teams.names(organization_id, user_ids)
    return found


def team_choices(actor: Actor) -> list[tuple[UUID, str]]:
    """The teams that the actor may put somebody into."""
    return [choice for teams in _TEAMS for choice in teams.choices(actor)]

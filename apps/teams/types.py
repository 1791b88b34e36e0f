"""What happens to teams."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from apps.events.types import Event


@dataclass(frozen=True, kw_only=True)
class TeamEvent(Event):
    """Something that happened to one team."""

    team_id: UUID

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """None: pages about people are read again when they are opened."""
        return ()


@dataclass(frozen=True, kw_only=True)
class TeamCreated(TeamEvent):
    """A team was made."""

    type: ClassVar[str] = "teams.team.created.v1"

    name: str


@dataclass(frozen=True, kw_only=True)
class TeamUpdated(TeamEvent):
    """A team was renamed or described."""

    type: ClassVar[str] = "teams.team.updated.v1"


@dataclass(frozen=True, kw_only=True)
class TeamDeleted(TeamEvent):
    """A team is gone."""

    type: ClassVar[str] = "teams.team.deleted.v1"


@dataclass(frozen=True, kw_only=True)
class TeamMemberEvent(TeamEvent):
    """Something that happened to a person in a team."""

    user_id: UUID


@dataclass(frozen=True, kw_only=True)
class TeamMemberAdded(TeamMemberEvent):
    """A person came into a team."""

    type: ClassVar[str] = "teams.member.added.v1"

    role: str


@dataclass(frozen=True, kw_only=True)
class TeamRoleChanged(TeamMemberEvent):
    """A person has another role in a team."""

    type: ClassVar[str] = "teams.member.role_changed.v1"

    role: str


@dataclass(frozen=True, kw_only=True)
class TeamMemberRemoved(TeamMemberEvent):
    """A person is in a team no more."""

    type: ClassVar[str] = "teams.member.removed.v1"

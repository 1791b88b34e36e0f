"""What happens to organizations and the people in them."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from apps.events.types import Event


@dataclass(frozen=True, kw_only=True)
class OrganizationEvent(Event):
    """Something that happened to the organization itself."""

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """The totals, which every page of the organization hears."""
        return (f"org.{organization_id}.summary",)


@dataclass(frozen=True, kw_only=True)
class OrganizationUpdated(OrganizationEvent):
    """Its name or settings changed."""

    type: ClassVar[str] = "organizations.organization.updated.v1"


@dataclass(frozen=True, kw_only=True)
class OrganizationSuspended(OrganizationEvent):
    """Nothing can be changed in it any more."""

    type: ClassVar[str] = "organizations.organization.suspended.v1"


@dataclass(frozen=True, kw_only=True)
class OrganizationResumed(OrganizationEvent):
    """It works again, after a suspension or a cancelled deletion."""

    type: ClassVar[str] = "organizations.organization.resumed.v1"


@dataclass(frozen=True, kw_only=True)
class OrganizationDeletionRequested(OrganizationEvent):
    """It will be erased after the time of grace."""

    type: ClassVar[str] = "organizations.organization.deletion_requested.v1"


@dataclass(frozen=True, kw_only=True)
class MemberEvent(Event):
    """Something that happened to one member."""

    user_id: UUID

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """The list of members."""
        return (f"org.{organization_id}.members",)


@dataclass(frozen=True, kw_only=True)
class MemberAdded(MemberEvent):
    """Somebody belongs to the organization now."""

    type: ClassVar[str] = "organizations.member.added.v1"


@dataclass(frozen=True, kw_only=True)
class MemberRoleChanged(MemberEvent):
    """Somebody has another role."""

    type: ClassVar[str] = "organizations.member.role_changed.v1"


@dataclass(frozen=True, kw_only=True)
class MemberRemoved(MemberEvent):
    """Somebody was removed, or left."""

    type: ClassVar[str] = "organizations.member.removed.v1"


@dataclass(frozen=True, kw_only=True)
class CustomRoleEvent(Event):
    """Something that happened to one of the organization's own roles."""

    role_id: UUID

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """The list of members, whose rights it may be."""
        return (f"org.{organization_id}.members",)


@dataclass(frozen=True, kw_only=True)
class CustomRoleCreated(CustomRoleEvent):
    """A role was made."""

    type: ClassVar[str] = "organizations.custom_role.created.v1"

    name: str


@dataclass(frozen=True, kw_only=True)
class CustomRoleUpdated(CustomRoleEvent):
    """A role has another name or holds something else."""

    type: ClassVar[str] = "organizations.custom_role.updated.v1"


@dataclass(frozen=True, kw_only=True)
class CustomRoleDeleted(CustomRoleEvent):
    """A role is gone."""

    type: ClassVar[str] = "organizations.custom_role.deleted.v1"

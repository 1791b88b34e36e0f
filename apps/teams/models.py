"""Tables of teams."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from guardian.managers import UserObjectPermissionManager
from guardian.models import UserObjectPermissionBase

from apps.core.tenancy import OrgManager, OrgOwnedModel, TenantForeignKey
from apps.organizations.models import HeldRole, Organization, role_constraints


class Team(OrgOwnedModel):
    """People of one organization who look after the device groups that the team owns."""

    name = models.CharField(max_length=60)
    description = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()

    class Meta(OrgOwnedModel.Meta):
        db_table = "teams_team"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "name"], name="team_name"),
        ]

    def __str__(self) -> str:
        return self.name


class TeamMember(HeldRole):
    """A person in a team, with a role that holds in the team's device groups only."""

    team = TenantForeignKey(Team, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField()

    class Meta(HeldRole.Meta):
        db_table = "teams_member"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["team", "user"], name="team_member_once"),
            *role_constraints("team_member"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["organization", "user"], name="team_member_by_user"),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role}"


class GrantManager(OrgManager[Any], UserObjectPermissionManager):
    """Guardian's manager, fenced in.

    Guardian asks it which kind of table this is; whatever of guardian reads or writes without
    saying whose rows raises `UnscopedQuery`.
    """


class ObjectGrant(OrgOwnedModel, UserObjectPermissionBase):
    """One permission that one person holds on one object, beside any role (django-guardian).

    Only `apps.devices.access` reads these rows, and turns them into grants of the one decision.
    """

    objects: ClassVar[Any] = GrantManager()

    class Meta(OrgOwnedModel.Meta):
        abstract = True


class OrganizationGrant(ObjectGrant):
    """A permission that somebody holds in the whole organization."""

    content_object = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False, related_name="grants"
    )

    class Meta(ObjectGrant.Meta):
        db_table = "teams_organization_grant"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "user", "permission"], name="organization_grant_once"
            ),
            models.CheckConstraint(
                condition=Q(content_object=F("organization")), name="organization_grant_own"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} on the organization"


class TeamGrant(ObjectGrant):
    """A permission that somebody holds on a team and the device groups that it owns."""

    content_object = TenantForeignKey(Team, on_delete=models.CASCADE, related_name="grants")

    class Meta(ObjectGrant.Meta):
        db_table = "teams_team_grant"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "user", "content_object", "permission"],
                name="team_grant_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} on team {self.content_object_id}"

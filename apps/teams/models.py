"""Tables of teams."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from apps.core.tenancy import OrgOwnedModel, TenantForeignKey
from apps.organizations.models import HeldRole, role_constraints


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

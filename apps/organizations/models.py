"""Tables of organizations."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.core.authz import Role
from apps.core.ids import uuid7
from apps.core.tenancy import OrgOwnedModel


class Organization(models.Model):
    """The tenant: everything else belongs to one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "organizations_organization"

    def __str__(self) -> str:
        return self.name


class Membership(OrgOwnedModel):
    """A person in an organization, with a role."""

    visible_by: ClassVar[dict[str, str]] = {"user_id": "app.user_id"}

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(max_length=20, choices=[(r.value, r.name.title()) for r in Role])
    created_at = models.DateTimeField()

    class Meta(OrgOwnedModel.Meta):
        db_table = "organizations_membership"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "user"], name="membership_once"),
            models.CheckConstraint(
                condition=Q(role__in=[r.value for r in Role]), name="membership_role"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role}"


class SetupCode(models.Model):
    """The one-time code that guards `/setup` until the first owner exists."""

    secret_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "organizations_setup_code"

    def __str__(self) -> str:
        return f"setup code of {self.created_at:%Y-%m-%d %H:%M}"

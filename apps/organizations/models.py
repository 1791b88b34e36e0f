"""Tables of organizations."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from apps.core.authz import CUSTOM, Role, permissions_of
from apps.core.ids import uuid7
from apps.core.tenancy import CREDENTIAL_SETTING, OrgOwnedModel, TenantForeignKey

ROLE_CHOICES = [*((r.value, r.name.title()) for r in Role), (CUSTOM, "Custom")]


class Organization(models.Model):
    """The tenant: everything else belongs to one."""

    class Status(models.TextChoices):
        """Whether it can be worked in."""

        ACTIVE = "active"
        SUSPENDED = "suspended"
        DELETING = "deleting"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=100)
    status = models.CharField(max_length=10, choices=Status, default=Status.ACTIVE)
    # Typed and bounded by `domain/settings.py`; what is not here has its default.
    settings = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    deletes_at = models.DateTimeField(null=True)
    # Why it is suspended or goes, in the words of whoever did it.
    status_reason = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        db_table = "organizations_organization"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(status__in=["active", "suspended", "deleting"]),
                name="organization_status",
            ),
            models.CheckConstraint(
                condition=Q(status="deleting") ^ Q(deletes_at=None),
                name="organization_deletes_at",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class CustomRole(OrgOwnedModel):
    """A role of the organization's own making: a set of declared permissions with a name."""

    name = models.CharField(max_length=60)
    description = models.CharField(max_length=200, blank=True)
    permissions = ArrayField(models.CharField(max_length=100), default=list)
    created_at = models.DateTimeField()

    class Meta(OrgOwnedModel.Meta):
        db_table = "organizations_custom_role"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "name"], name="custom_role_name"),
        ]

    def __str__(self) -> str:
        return self.name


class HeldRole(OrgOwnedModel):
    """A row that gives somebody a role: a built-in one, or one of the organization's own."""

    role = models.CharField(max_length=20, choices=ROLE_CHOICES)
    custom_role = TenantForeignKey(CustomRole, null=True, blank=True, related_name="+")

    class Meta(OrgOwnedModel.Meta):
        abstract = True

    @property
    def role_name(self) -> str:
        """The role's name as people know it."""
        return self.custom_role.name if self.custom_role else self.role

    @property
    def role_permissions(self) -> frozenset[str]:
        """What the role holds now."""
        if self.custom_role is not None:
            return frozenset(self.custom_role.permissions)
        return permissions_of(Role(self.role))


def role_constraints(name: str) -> list[models.CheckConstraint]:
    """What must be true of every table of held roles."""
    return [
        models.CheckConstraint(
            condition=Q(role__in=[value for value, _ in ROLE_CHOICES]), name=f"{name}_role"
        ),
        models.CheckConstraint(
            condition=Q(role=CUSTOM, custom_role__isnull=False)
            | (~Q(role=CUSTOM) & Q(custom_role__isnull=True)),
            name=f"{name}_custom_role",
        ),
    ]


class Membership(HeldRole):
    """A person in an organization, with a role."""

    visible_by: ClassVar[dict[str, str]] = {"user_id": "app.user_id"}

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField()
    # Noted at most once a minute.
    last_active_at = models.DateTimeField(null=True)

    class Meta(HeldRole.Meta):
        db_table = "organizations_membership"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "user"], name="membership_once"),
            *role_constraints("membership"),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role}"


class Invitation(HeldRole):
    """A way into the organization with a role, for one person, once.

    One with an address is for the account of that address; one without is for whoever has the
    link. `teams` lists what the person joins besides: [{"team_id", "role"}].
    """

    visible_by: ClassVar[dict[str, str]] = {"secret_hash": CREDENTIAL_SETTING}

    email = models.CharField(max_length=254, blank=True)
    secret_hash = models.CharField(max_length=64, unique=True)
    teams = models.JSONField(default=list)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+"
    )

    class Meta(HeldRole.Meta):
        db_table = "organizations_invitation"
        constraints: ClassVar = [
            *role_constraints("invitation"),
            models.CheckConstraint(
                condition=Q(accepted_at=None) | Q(accepted_by__isnull=False),
                name="invitation_accepted_by",
            ),
            models.UniqueConstraint(
                fields=["organization", "email"],
                condition=Q(accepted_at=None, revoked_at=None) & ~Q(email=""),
                name="invitation_once_per_address",
            ),
        ]

    def __str__(self) -> str:
        return f"invitation of {self.email or 'whoever has the link'} as {self.role_name}"


class OrganizationExport(OrgOwnedModel):
    """An archive of everything that the organization has, and how far it has come."""

    class State(models.TextChoices):
        """Where it stands."""

        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    requested_by = models.CharField(max_length=254)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    # The table that is being written, and the last id that was: where a new worker goes on.
    table = models.CharField(max_length=63, blank=True)
    last_id = models.UUIDField(null=True)
    parts = models.JSONField(default=list)
    tables_done = models.PositiveIntegerField(default=0)
    tables_total = models.PositiveIntegerField(default=0)
    row_count = models.PositiveBigIntegerField(default=0)
    size_bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    error = models.CharField(max_length=200, blank=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "organizations_export"
        verbose_name = "export"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=["running", "done", "failed"]), name="export_state"
            ),
            models.UniqueConstraint(
                fields=["organization"], condition=Q(state="running"), name="export_one_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"export of {self.created_at:%Y-%m-%d %H:%M}"


class SetupCode(models.Model):
    """The one-time code that guards `/setup` until the first owner exists."""

    secret_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "organizations_setup_code"

    def __str__(self) -> str:
        return f"setup code of {self.created_at:%Y-%m-%d %H:%M}"

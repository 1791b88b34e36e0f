"""What an organization's releases are signed with: its TUF repository."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from apps.core.tenancy import OrgOwnedModel, TenantOneToOneField
from apps.devices.models import Device


class SigningRepository(OrgOwnedModel):
    """The platform's side of an organization's TUF repository: its online keys, sealed.

    With them nobody can name a file that a device installs: root and targets are signed with keys
    that never come here.
    """

    snapshot_key = models.TextField()
    timestamp_key = models.TextField()
    instruction_key = models.TextField()
    # The public halves, 64 hex digits each.
    snapshot_public = models.CharField(max_length=64)
    timestamp_public = models.CharField(max_length=64)
    instruction_public = models.CharField(max_length=64)
    # Keys that take over from these two once a root names them; empty where none were made.
    next_snapshot_key = models.TextField(default="", blank=True)
    next_timestamp_key = models.TextField(default="", blank=True)
    next_snapshot_public = models.CharField(max_length=64, default="", blank=True)
    next_timestamp_public = models.CharField(max_length=64, default="", blank=True)
    created_at = models.DateTimeField()
    # When the first root was published; from then on devices are told to trust it.
    published_at = models.DateTimeField(null=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_signing_repository"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization"], name="signing_repository_once"),
        ]

    def __str__(self) -> str:
        return f"signing repository of {self.organization_id}"


class SigningRole(models.TextChoices):
    """The four roles of TUF."""

    ROOT = "root"
    TARGETS = "targets"
    SNAPSHOT = "snapshot"
    TIMESTAMP = "timestamp"


class SigningMetadata(OrgOwnedModel):
    """One version of one role's metadata, as it is served: byte for byte."""

    role = models.CharField(max_length=10, choices=SigningRole)
    version = models.PositiveIntegerField()
    content = models.TextField()
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=254, blank=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_signing_metadata"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "role", "version"], name="signing_version_once"
            ),
            models.CheckConstraint(
                condition=Q(role__in=SigningRole.values), name="signing_metadata_role"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version}.{self.role}"


class InstructionCounter(OrgOwnedModel):
    """How many signed instructions a device was given: the number of the last one."""

    id: Any = None
    device = TenantOneToOneField(Device, models.CASCADE, primary_key=True, related_name="+")
    counter = models.PositiveBigIntegerField()

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_instruction_counter"

    def __str__(self) -> str:
        return f"{self.device_id}: {self.counter}"

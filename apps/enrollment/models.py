"""Tables of enrollment and device identity."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from apps.core.tenancy import OrgOwnedModel, TenantForeignKey
from apps.devices.models import Device


class EnrollmentToken(OrgOwnedModel):
    """Lets a number of devices join, into groups, with tags, with or without approval."""

    # By its secret, for devices that enroll; by its id, for the installer, which is no secret.
    visible_by: ClassVar[dict[str, str]] = {
        "secret_hash": "app.credential",
        "id": "app.credential",
    }

    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=20)
    secret_hash = models.CharField(max_length=64, unique=True)
    max_uses = models.PositiveIntegerField()
    uses_left = models.PositiveIntegerField()
    requires_approval = models.BooleanField()
    tags = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    group_ids = ArrayField(models.UUIDField(), default=list, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    # Evidence for "add your first device": the installer was fetched from this address.
    installer_fetched_at = models.DateTimeField(null=True)
    installer_address = models.CharField(max_length=45, blank=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "enrollment_token"
        verbose_name = "enrollment token"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(uses_left__lte=F("max_uses")), name="enrollment_token_uses"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class Enrollment(OrgOwnedModel):
    """One attempt to enroll with a token: what became of it, and which key asked."""

    token = TenantForeignKey(EnrollmentToken, related_name="enrollments")
    device = TenantForeignKey(Device, null=True, related_name="enrollments")
    public_key_hash = models.CharField(max_length=64, blank=True)
    # "accepted", "pending", or the code of the refusal.
    outcome = models.CharField(max_length=64)
    hardware_id = models.CharField(max_length=200, blank=True)
    hostname = models.CharField(max_length=253, blank=True)
    address = models.CharField(max_length=45, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta(OrgOwnedModel.Meta):
        db_table = "enrollment_enrollment"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "public_key_hash"],
                condition=Q(device__isnull=False),
                name="enrollment_key_once",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["organization", "token", "id"], name="enrollment_by_token"),
            models.Index(fields=["organization", "token", "updated_at"], name="enrollment_by_time"),
            models.Index(
                fields=["organization", "token", "hardware_id"],
                name="enrollment_refused",
                condition=Q(device=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hostname or self.hardware_id}: {self.outcome}"


class Certificate(OrgOwnedModel):
    """A certificate that was issued to a device."""

    device = TenantForeignKey(Device, related_name="certificates")
    serial = models.CharField(max_length=40, unique=True)
    public_key_hash = models.CharField(max_length=64)
    chain_pem = models.TextField()
    not_before = models.DateTimeField()
    not_after = models.DateTimeField()
    # First use ends the certificates before it.
    used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    revocation_reason = models.CharField(max_length=50, blank=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "enrollment_certificate"
        indexes: ClassVar = [
            models.Index(fields=["organization", "device", "id"], name="certificate_by_device"),
        ]

    def __str__(self) -> str:
        return self.serial

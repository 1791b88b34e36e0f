"""Tables of the audit trail."""

from typing import Any, ClassVar

from django.db import models

from apps.core.tenancy import OrgOwnedModel


class AuditEntry(OrgOwnedModel):
    """One thing that was done or refused; never changed, linked to the one before by its hash."""

    append_only = True

    class Result(models.TextChoices):
        """Whether it was done."""

        SUCCESS = "success"
        DENIED = "denied"

    sequence = models.PositiveBigIntegerField()
    time = models.DateTimeField()
    action = models.CharField(max_length=100)
    result = models.CharField(max_length=10, choices=Result)
    actor_kind = models.CharField(max_length=20)
    actor_id = models.UUIDField(null=True)
    actor_label = models.CharField(max_length=254)
    object_type = models.CharField(max_length=50, blank=True)
    object_id = models.CharField(max_length=36, blank=True)
    object_label = models.CharField(max_length=254, blank=True)
    source = models.CharField(max_length=10)
    address = models.CharField(max_length=45, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    changes = models.JSONField(default=dict)
    previous_hash = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)

    class Meta(OrgOwnedModel.Meta):
        db_table = "audit_entry"
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "sequence"], name="audit_entry_sequence"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["organization", "object_id", "sequence"], name="audit_by_object"),
            models.Index(fields=["organization", "action", "sequence"], name="audit_by_action"),
            models.Index(fields=["organization", "actor_id", "sequence"], name="audit_by_actor"),
            models.Index(
                fields=["organization", "request_id", "sequence"], name="audit_by_request"
            ),
            models.Index(fields=["organization", "time"], name="audit_by_time"),
            models.Index(
                fields=["organization", "sequence"],
                condition=models.Q(result="denied"),
                name="audit_refusals",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action}"

    def hashed_fields(self) -> dict[str, Any]:
        """What the hash covers: everything but the hashes themselves."""
        return {
            "id": str(self.id),
            "organization_id": str(self.organization_id),
            "sequence": self.sequence,
            "time": self.time.isoformat(timespec="microseconds"),
            "action": self.action,
            "result": self.result,
            "actor_kind": self.actor_kind,
            "actor_id": str(self.actor_id) if self.actor_id else None,
            "actor_label": self.actor_label,
            "object_type": self.object_type,
            "object_id": self.object_id,
            "object_label": self.object_label,
            "source": self.source,
            "address": self.address,
            "request_id": self.request_id,
            "changes": self.changes,
        }


class AuditHead(OrgOwnedModel):
    """The end of one organization's chain; its row lock lets one entry be added at a time."""

    sequence = models.PositiveBigIntegerField(default=0)
    hash = models.BinaryField(max_length=32)

    class Meta(OrgOwnedModel.Meta):
        db_table = "audit_head"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization"], name="audit_head_organization"),
        ]

    def __str__(self) -> str:
        return f"head at {self.sequence}"


class AuditCheckpoint(OrgOwnedModel):
    """A signature over the chain as far as one entry; kept in a second place, too."""

    append_only = True

    sequence = models.PositiveBigIntegerField()
    since = models.PositiveBigIntegerField()  # where the one before it stands, 0 for the first
    time = models.DateTimeField()
    head_hash = models.BinaryField(max_length=32)
    root = models.BinaryField(max_length=32)
    key_id = models.CharField(max_length=16)
    public_key = models.BinaryField(max_length=32)
    signature = models.BinaryField(max_length=64)

    class Meta(OrgOwnedModel.Meta):
        db_table = "audit_checkpoint"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "sequence"], name="audit_checkpoint_sequence"
            ),
            models.UniqueConstraint(
                fields=["organization", "since"], name="audit_checkpoint_since"
            ),
            models.CheckConstraint(
                condition=models.Q(sequence__gt=models.F("since")), name="audit_checkpoint_covers"
            ),
        ]

    def __str__(self) -> str:
        return f"checkpoint at {self.sequence}"

    def statement(self) -> dict[str, Any]:
        """What is signed."""
        return {
            "organization_id": str(self.organization_id),
            "since": self.since,
            "sequence": self.sequence,
            "time": self.time.isoformat(timespec="microseconds"),
            "head_hash": bytes(self.head_hash).hex(),
            "root": bytes(self.root).hex(),
            "key_id": self.key_id,
        }


class AuditVerification(OrgOwnedModel):
    """How far one organization's chain has been checked, when, and what was found."""

    # The newest entry up to which the chain was found whole, each entry once since it was written.
    sequence = models.PositiveBigIntegerField(default=0)
    time = models.DateTimeField(null=True)
    # When every entry that is there was last read again, from the first one on.
    whole_time = models.DateTimeField(null=True)
    broken_sequence = models.PositiveBigIntegerField(null=True)
    finding = models.CharField(max_length=300, blank=True)
    # A check of the whole chain that is under way: how far it is.
    position = models.PositiveBigIntegerField(null=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "audit_verification"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization"], name="audit_verification_organization")
        ]

    def __str__(self) -> str:
        return f"verified up to {self.sequence}"

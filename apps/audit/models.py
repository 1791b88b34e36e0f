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

"""The outbox."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.fields.json import KeyTextTransform

from apps.core.tenancy import OrgOwnedModel


class OutboxEvent(OrgOwnedModel):
    """One event, written in the transaction of the change, delivered at least once afterwards."""

    type = models.CharField(max_length=100)
    payload = models.JSONField()
    created_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    parked_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "events_outbox_event"
        verbose_name = "event"
        indexes: ClassVar = [
            models.Index(
                fields=["organization", "id"],
                name="outbox_pending",
                condition=Q(delivered_at=None, parked_at=None),
            ),
            models.Index(fields=["organization", "created_at"], name="outbox_by_age"),
            # A device's own history, among those of all others.
            models.Index(
                F("organization"),
                KeyTextTransform("device_id", "payload"),
                F("id"),
                name="outbox_by_device",
                condition=Q(payload__has_key="device_id"),
            ),
        ]

    def __str__(self) -> str:
        return self.type

"""Mails about rollouts: what has to be sent, and what became of it."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from apps.core.tenancy import OrgOwnedModel, TenantForeignKey
from apps.updates.models.rollouts import Rollout


class RolloutNotification(OrgOwnedModel):
    """One mail to one person because of one entry of a rollout's log."""

    rollout = TenantForeignKey(Rollout, related_name="+")
    # The entry of the log: with occasion and recipient it makes the mail one that is sent once.
    sequence = models.PositiveIntegerField()
    occasion = models.CharField(max_length=30)
    recipient = models.CharField(max_length=254)
    words = models.CharField(max_length=500)
    created_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    # When it was given up.
    failed_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=300, blank=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_rollout_notification"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "rollout", "sequence", "occasion", "recipient"],
                name="rollout_notification_once",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["organization", "next_attempt_at"],
                condition=Q(sent_at=None, failed_at=None),
                name="rollout_notification_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.occasion} to {self.recipient}"

    @property
    def state(self) -> str:
        """sent, failed or waiting."""
        if self.sent_at:
            return "sent"
        return "failed" if self.failed_at else "waiting"

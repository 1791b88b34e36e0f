"""Channels of releases."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from apps.core.tenancy import OrgOwnedModel, TenantForeignKey
from apps.updates.domain.channels import MAX_CHANNEL_LENGTH
from apps.updates.models.releases import Release


class ReleasePromotion(OrgOwnedModel):
    """A channel points at a release, from one moment until another release takes its place.

    The one that has not ended is what the channel means now; those that ended are its history.
    """

    release = TenantForeignKey(Release, related_name="promotions")
    # The release's, for a channel belongs to a name: app/stable has nothing to do with os/stable.
    release_name = models.CharField(max_length=100)
    channel = models.CharField(max_length=MAX_CHANNEL_LENGTH)
    reason = models.CharField(max_length=300, blank=True)
    promoted_at = models.DateTimeField()
    promoted_by = models.CharField(max_length=254, blank=True)
    ended_at = models.DateTimeField(null=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_release_promotion"
        verbose_name = "promotion"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "release_name", "channel"],
                condition=Q(ended_at__isnull=True),
                name="release_channel_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.release_name}@{self.channel}"

"""Devices that rollouts leave alone."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.core.tenancy import OrgOwnedModel, TenantForeignKey
from apps.devices.models import Device
from apps.updates.domain.holds import HoldKind


class DeviceHold(OrgOwnedModel):
    """Why rollouts leave a device alone: somebody pinned it, or it failed again and again.

    It holds until it is ended, or until its own end has come. What ended stays as history.
    """

    device = TenantForeignKey(Device, related_name="+")
    kind = models.CharField(max_length=20, choices=[(k.value, k.value) for k in HoldKind])
    reason = models.CharField(max_length=300)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    until = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_device_hold"
        verbose_name = "hold"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind__in=[k.value for k in HoldKind]), name="device_hold_kind"
            ),
            # Also the index by which the holds of a device are found.
            models.UniqueConstraint(
                fields=["organization", "device", "kind"],
                condition=Q(ended_at__isnull=True),
                name="device_hold_once",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["organization", "device", "kind"], name="device_hold_history"),
        ]

    def __str__(self) -> str:
        return f"{self.device_id} {self.kind}"

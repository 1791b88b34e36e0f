"""Uploads under way."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from apps.core.tenancy import OrgOwnedModel, TenantForeignKey
from apps.updates.models.artifacts import Artifact


class ArtifactUpload(OrgOwnedModel):
    """A file on its way here, part by part; its room is taken from the quota from the start."""

    name = models.CharField(max_length=200)
    content_type = models.CharField(max_length=100, blank=True)
    size_bytes = models.PositiveBigIntegerField()
    # What the sender says that it will be; empty where it did not.
    expected_sha256 = models.CharField(max_length=64, blank=True)
    # How much of it is stored for certain. The file may hold more after a crash: that is cut off.
    received_bytes = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=254, blank=True)
    expires_at = models.DateTimeField()
    # Set once it is complete.
    artifact = TenantForeignKey(Artifact, models.CASCADE, related_name="+", null=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_artifact_upload"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(received_bytes__lte=F("size_bytes")), name="upload_received"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["organization", "expires_at"], name="upload_expiry"),
        ]

    def __str__(self) -> str:
        return self.name

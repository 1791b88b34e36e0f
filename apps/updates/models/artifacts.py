"""Artifacts: immutable files."""

from typing import ClassVar

from django.db import models

from apps.core.tenancy import OrgOwnedModel


class Artifact(OrgOwnedModel):
    """One immutable file, addressed by its SHA-256."""

    name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.PositiveBigIntegerField()
    content_type = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=254, blank=True)
    # When somebody uploaded the same content again: what is unused is counted from then on.
    stored_again_at = models.DateTimeField(null=True)
    # What old rollouts installed is still said by this row when the bytes are gone.
    file_removed_at = models.DateTimeField(null=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_artifact"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "sha256"], name="artifact_once"),
        ]

    def __str__(self) -> str:
        return self.name

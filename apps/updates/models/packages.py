"""Software inside of releases."""

from typing import ClassVar

from django.db import models

from apps.core.tenancy import OrgOwnedModel, TenantForeignKey
from apps.updates.models.releases import Release


class ReleasePackage(OrgOwnedModel):
    """One piece of software that a release's bill of materials names."""

    release = TenantForeignKey(Release, models.CASCADE, related_name="packages")
    name = models.CharField(max_length=200)
    version = models.CharField(max_length=100, blank=True)
    purl = models.CharField(max_length=500, blank=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_release_package"
        indexes: ClassVar = [
            models.Index(fields=["organization", "name", "release"], name="package_by_name"),
            models.Index(fields=["organization", "release", "name"], name="package_by_release"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()

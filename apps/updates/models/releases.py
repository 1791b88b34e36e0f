"""Releases and their components."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from apps.core.tenancy import OrgOwnedModel, TenantForeignKey
from apps.updates.models.artifacts import Artifact


class BundleMode(models.TextChoices):
    """How the components of a release belong together."""

    ATOMIC = "atomic"
    SEQUENTIAL = "sequential"


class Release(OrgOwnedModel):
    """A named version made of components; it never changes once a rollout uses it."""

    name = models.CharField(max_length=100)
    version = models.CharField(max_length=64)
    notes = models.TextField(blank=True)
    bundle_mode = models.CharField(
        max_length=12, choices=BundleMode, default=BundleMode.ATOMIC.value, blank=True
    )
    # A filter over devices, in its canonical form; empty for every device.
    compatible = models.CharField(max_length=2000, blank=True)
    # [{"component": "app", "versions": ">=1.2, <2.0"}, …]: what has to be installed, and must not.
    requires = models.JSONField(default=list, blank=True)
    conflicts = models.JSONField(default=list, blank=True)
    # Devices with an older version have to install this one before any newer one.
    # The document that names the software inside, where one was attached.
    sbom = TenantForeignKey(Artifact, related_name="+", null=True, blank=True)
    is_stepping_stone = models.BooleanField(default=False)
    locked_at = models.DateTimeField(null=True)
    # Once set they stay: a recall cannot be taken back.
    recalled_at = models.DateTimeField(null=True)
    recalled_by = models.CharField(max_length=254, blank=True)
    recall_reason = models.CharField(max_length=1000, blank=True)
    deprecated_at = models.DateTimeField(null=True)
    deprecation_reason = models.CharField(max_length=1000, blank=True)
    # Its files are gone, and nothing can install it any more; history still says what it was.
    files_removed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    # Empty for releases from before this was kept.
    created_by = models.CharField(max_length=254, blank=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_release"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "name", "version"], name="release_version_once"
            ),
            models.CheckConstraint(
                condition=Q(bundle_mode__in=BundleMode.values), name="release_bundle_mode"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def is_recalled(self) -> bool:
        """Whether it was taken back."""
        return self.recalled_at is not None

    @property
    def is_usable(self) -> bool:
        """Whether rollouts can be planned with it."""
        return self.recalled_at is None and self.files_removed_at is None

    @property
    def channels(self) -> list[str]:
        """The channels that point at it; `selectors.releases` reads them with it."""
        open_ones = getattr(self, "open_promotions", None)
        if open_ones is None:
            rows = self.promotions.filter(organization_id=self.organization_id, ended_at=None)
            open_ones = rows.order_by("channel")
        return [each.channel for each in open_ones]


class ComponentKind(models.TextChoices):
    """What is installed, and so how."""

    FIRMWARE = "firmware"
    PACKAGE = "package"
    CONTAINER = "container"
    BINARY = "binary"
    SCRIPT = "script"
    CONFIG = "config"


class Component(OrgOwnedModel):
    """One part of a release: an artifact, how to install it, and how to verify that it works."""

    release = TenantForeignKey(Release, models.CASCADE, related_name="components")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, choices=ComponentKind)
    artifact = TenantForeignKey(Artifact, related_name="+")
    target = models.CharField(max_length=512, blank=True)
    # 0: as the agent finds fit for the kind.
    file_mode = models.PositiveSmallIntegerField(default=0)
    # {"before" | "after" | "verify" | "roll_back": {"command": [...], "timeout_seconds": n}}
    hooks = models.JSONField(default=dict, blank=True)
    # What the kind's installer is told, as `domain.install_options` lists it.
    install_options = models.JSONField(default=dict, blank=True)
    # How the device finds out whether it works, as `domain.checks` has them.
    checks = models.JSONField(default=list, blank=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_component"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "release", "position"], name="component_position"
            ),
            models.UniqueConstraint(
                fields=["organization", "release", "name"], name="component_name"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=ComponentKind.values), name="component_kind"
            ),
        ]

    def __str__(self) -> str:
        return self.name

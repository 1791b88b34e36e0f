"""Tables of the update engine."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.core.tenancy import OrgOwnedModel, TenantForeignKey
from apps.devices.models import Device
from apps.updates.domain import engine
from apps.updates.domain.gate import Counts
from apps.updates.domain.states import (
    ACTIVE_DEPLOYMENT_STATES,
    Bucket,
    DeploymentState,
    GateDecision,
    PhaseState,
    RolloutState,
)


def _choices(states: type) -> list[tuple[str, str]]:
    return [(s.value, s.value.replace("_", " ")) for s in states]  # type: ignore[attr-defined]


class Artifact(OrgOwnedModel):
    """One immutable file, addressed by its SHA-256."""

    name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.PositiveBigIntegerField()
    content_type = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=254, blank=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_artifact"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "sha256"], name="artifact_once"),
        ]

    def __str__(self) -> str:
        return self.name


class Release(OrgOwnedModel):
    """A named version made of components; it never changes once a rollout uses it."""

    name = models.CharField(max_length=100)
    version = models.CharField(max_length=64)
    notes = models.TextField(blank=True)
    locked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_release"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "name", "version"], name="release_version_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class ComponentKind(models.TextChoices):
    """What is installed, and so how."""

    FIRMWARE = "firmware"
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


class Rollout(OrgOwnedModel):
    """The plan that brings a release to its targets in phases, and where it stands."""

    name = models.CharField(max_length=200)
    release = TenantForeignKey(Release, related_name="+")
    state = models.CharField(
        max_length=20, choices=_choices(RolloutState), default=RolloutState.DRAFT.value
    )
    # {"device_ids": [...], "tags": [...], "group_ids": [...]}; all empty: every active device.
    target = models.JSONField(default=dict)
    requires_approval = models.BooleanField(default=False)
    plan_hash = models.CharField(max_length=64)
    approved_by = models.CharField(max_length=254, blank=True)
    approved_hash = models.CharField(max_length=64, blank=True)
    # The pointer: deployments of phases up to this index may start; -1 before the start.
    open_phase = models.SmallIntegerField(default=-1)
    deployment_timeout_seconds = models.PositiveIntegerField(default=3600)
    # The engine's state after the last event of the log, so that deciding needs no replay. The
    # columns above and those of the phases repeat what lists are filtered by and what is shown.
    snapshot = models.JSONField(default=dict)
    state_hash = models.CharField(max_length=64)
    event_count = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_rollout"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in RolloutState]), name="rollout_state"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["organization", "state", "id"], name="rollout_by_state"),
        ]

    def __str__(self) -> str:
        return self.name

    def status(self) -> engine.RolloutStatus:
        """The engine's state as of the last event."""
        return engine.restore(self.snapshot)

    def counts(self) -> tuple[Counts, ...]:
        """The counters of the phases as they are now, by index; phases should be prefetched."""
        return tuple(phase.counts for phase in sorted(self.phases.all(), key=lambda p: p.index))


class Phase(OrgOwnedModel):
    """One step of a rollout with its gate; the counters are kept in each change's transaction."""

    rollout = TenantForeignKey(Rollout, models.CASCADE, related_name="phases")
    index = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=100)
    percent = models.PositiveSmallIntegerField()
    state = models.CharField(
        max_length=20, choices=_choices(PhaseState), default=PhaseState.WAITING.value
    )
    gate_decision = models.CharField(
        max_length=20, choices=_choices(GateDecision), default=GateDecision.HOLD.value
    )
    gate_reason = models.CharField(max_length=300, blank=True)
    opened_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)
    total = models.PositiveIntegerField(default=0)
    waiting = models.PositiveIntegerField(default=0)
    active = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_phase"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "rollout", "index"], name="phase_index"
            ),
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in PhaseState]), name="phase_state"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def shown(self) -> tuple[object, ...]:
        """What the engine's state says too, in the order of `PhaseStatus.shown`."""
        return (
            self.percent,
            self.state,
            self.gate_decision,
            self.gate_reason,
            self.opened_at,
            self.decided_at,
        )

    @property
    def counts(self) -> Counts:
        """The counters, as the gate takes them."""
        return Counts(**{bucket.value: getattr(self, bucket.value) for bucket in Bucket})


class RolloutEvent(OrgOwnedModel):
    """One decision or action in a rollout's append-only log; replaying the log gives its state."""

    append_only = True

    rollout = TenantForeignKey(Rollout, related_name="events")
    sequence = models.PositiveBigIntegerField()
    time = models.DateTimeField()
    type = models.CharField(max_length=50)
    actor_label = models.CharField(max_length=254)
    data = models.JSONField(default=dict)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_rollout_event"
        verbose_name = "rollout event"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "rollout", "sequence"], name="rollout_event_sequence"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.type}"


class Deployment(OrgOwnedModel):
    """One device's part of one rollout."""

    rollout = TenantForeignKey(Rollout, related_name="deployments")
    device = TenantForeignKey(Device, related_name="+")
    phase_index = models.PositiveSmallIntegerField()
    # The device's place in the rollout's order: a hash of both ids.
    position = models.PositiveIntegerField()
    state = models.CharField(
        max_length=20, choices=_choices(DeploymentState), default=DeploymentState.WAITING.value
    )
    progress_percent = models.PositiveSmallIntegerField(default=0)
    report_sequence = models.PositiveIntegerField(default=0)
    reason_code = models.CharField(max_length=64, blank=True)
    message = models.CharField(max_length=1024, blank=True)
    log_tail = models.TextField(blank=True)
    offers = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    state_changed_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_deployment"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in DeploymentState]), name="deployment_state"
            ),
            models.UniqueConstraint(
                fields=["organization", "rollout", "device"], name="deployment_once"
            ),
            # One device works on one deployment at a time.
            models.UniqueConstraint(
                fields=["organization", "device"],
                condition=Q(state__in=[s.value for s in ACTIVE_DEPLOYMENT_STATES]),
                name="deployment_one_active",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["organization", "device", "phase_index"],
                name="deployment_waiting",
                condition=Q(state=DeploymentState.WAITING.value),
            ),
            # Not by organization first: the planner would take it for the one above.
            models.Index(
                fields=["deadline_at"],
                name="deployment_deadline",
                condition=Q(state__in=[s.value for s in ACTIVE_DEPLOYMENT_STATES]),
            ),
            models.Index(
                fields=["organization", "rollout", "state", "id"], name="deployment_by_rollout"
            ),
            models.Index(fields=["organization", "device"], name="deployment_by_device"),
        ]

    def __str__(self) -> str:
        return f"{self.device_id} in {self.rollout_id}"

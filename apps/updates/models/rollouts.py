"""Rollouts, their phases, and their logs."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.core.tenancy import OrgOwnedModel, TenantForeignKey
from apps.updates.domain import engine
from apps.updates.domain.gate import Counts
from apps.updates.domain.plan import Plan, simple_plan
from apps.updates.domain.rooms import Use
from apps.updates.domain.states import Bucket, GateDecision, PhaseState, RolloutState
from apps.updates.models.releases import Release


def state_choices(states: type) -> list[tuple[str, str]]:
    """States as Django wants choices, with their words."""
    return [(s.value, s.value.replace("_", " ")) for s in states]  # type: ignore[attr-defined]


class Rollout(OrgOwnedModel):
    """The plan that brings a release to its targets in phases, and where it stands."""

    name = models.CharField(max_length=200)
    release = TenantForeignKey(Release, related_name="+")
    state = models.CharField(
        max_length=20, choices=state_choices(RolloutState), default=RolloutState.DRAFT.value
    )
    # {"device_ids": [...], "tags": [...], "group_ids": [...]}; all empty: every active device.
    target = models.JSONField(default=dict)
    # The same, of devices that are left out; all empty: none.
    excluded = models.JSONField(default=dict)
    # `domain.plan.Plan`, whole. The columns after it repeat what lists and claims look for.
    plan = models.JSONField(default=dict)
    priority = models.SmallIntegerField(default=0)
    start_at = models.DateTimeField(null=True)
    # Whether claims have to look at times and numbers before they hand anything out.
    is_limited = models.BooleanField(default=False)
    maximum_attempts = models.PositiveSmallIntegerField(default=1)
    # The rollout whose devices this one brings back to what they had before.
    rolls_back = TenantForeignKey("updates.Rollout", null=True, related_name="rollbacks")
    # What people and their programs wrote on it, as a manifest says it; nothing here reads them.
    labels = models.JSONField(default=dict, db_default={}, blank=True)
    annotations = models.JSONField(default=dict, db_default={}, blank=True)
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

    def planned(self) -> Plan:
        """The plan; of a rollout from before plans were stored, what its phases say."""
        if self.plan:
            return Plan.restore(self.plan)
        return simple_plan(sorted(phase.percent for phase in self.phases.all()))

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
        max_length=20, choices=state_choices(PhaseState), default=PhaseState.WAITING.value
    )
    gate_decision = models.CharField(
        max_length=20, choices=state_choices(GateDecision), default=GateDecision.HOLD.value
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
    # How many devices started in the last minute in which any did, counted since it was opened.
    rate_minute = models.PositiveIntegerField(default=0, db_default=0)
    rate_started = models.PositiveIntegerField(default=0, db_default=0)

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

    @property
    def use(self) -> Use:
        """How much of its limits is used."""
        return Use(self.active, self.opened_at, self.rate_minute, self.rate_started)


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

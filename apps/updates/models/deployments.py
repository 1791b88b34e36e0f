"""Deployments: one device in one rollout."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from apps.core.tenancy import OrgOwnedModel, TenantForeignKey
from apps.devices.models import Device
from apps.updates.domain.states import ACTIVE_DEPLOYMENT_STATES, DeploymentState
from apps.updates.models.releases import Release
from apps.updates.models.rollouts import Rollout, state_choices


class Deployment(OrgOwnedModel):
    """One device's part of one rollout.

    Rows come by the 100,000, and each claim and report writes every index anew: there are as few
    as serve a question that is asked. That the organization exists follows from the rollout.
    """

    has_tenant_key: ClassVar[bool] = False

    organization = models.ForeignKey(
        "organizations.Organization",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    rollout = TenantForeignKey(Rollout, related_name="deployments", db_index=False)
    device = TenantForeignKey(Device, related_name="+", db_index=False)
    # What is installed: the rollout's release, or the device's own earlier one in a roll back.
    release = TenantForeignKey(Release, related_name="+")
    # Counted from 1. An earlier attempt keeps its end and counts no more once there is a next one.
    attempt = models.PositiveSmallIntegerField(default=1, db_default=1)
    is_retried = models.BooleanField(default=False, db_default=False)
    not_before = models.DateTimeField(null=True)
    phase_index = models.PositiveSmallIntegerField()
    # The device's place in the rollout's order: a hash of both ids.
    position = models.PositiveIntegerField()
    state = models.CharField(
        max_length=20, choices=state_choices(DeploymentState), default=DeploymentState.WAITING.value
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
    # When it said first that it has its files; forecasts learn from it how fast it downloads.
    downloaded_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # What the device reported before the update, by metric, where a gate compares with it.
    baseline = models.JSONField(null=True)
    # Where it was when it began, where the plan limits sites: "" are those without the label, null
    # is everywhere else.
    site = models.TextField(null=True)  # noqa: DJ001
    # Left out by a person: it is not retried, and its outcome says nothing to the gate any more.
    is_excluded = models.BooleanField(default=False, db_default=False)

    class Meta(OrgOwnedModel.Meta):
        db_table = "updates_deployment"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in DeploymentState]), name="deployment_state"
            ),
            # The device first: this is how a device's deployments are found, too.
            models.UniqueConstraint(
                fields=["organization", "device", "rollout", "attempt"], name="deployment_once"
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
        ]

    def __str__(self) -> str:
        return f"{self.device_id} in {self.rollout_id}"

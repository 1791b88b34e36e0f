"""The states of rollouts, phases and deployments, and every legal step between them.

These tables are the only thing that decides what may follow what; services ask them and nothing
else changes a state.
"""

from enum import StrEnum


class RolloutState(StrEnum):
    """Where a rollout stands."""

    DRAFT = "draft"
    PENDING_APPROVAL = "pending_approval"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    HALTED = "halted"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class PhaseState(StrEnum):
    """Where a phase stands."""

    WAITING = "waiting"
    OPEN = "open"
    PROMOTED = "promoted"
    HALTED = "halted"


class GateDecision(StrEnum):
    """What a gate says about its phase."""

    PROMOTE = "promote"
    HOLD = "hold"
    HALT = "halt"


class DeploymentState(StrEnum):
    """Where one device's part of a rollout stands."""

    WAITING = "waiting"
    OFFERED = "offered"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    INSTALLING = "installing"
    REBOOTING = "rebooting"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    SUPERSEDED = "superseded"


ACTIVE_DEPLOYMENT_STATES = (
    DeploymentState.OFFERED,
    DeploymentState.DOWNLOADING,
    DeploymentState.DOWNLOADED,
    DeploymentState.INSTALLING,
    DeploymentState.REBOOTING,
    DeploymentState.VERIFYING,
)

"""The states of rollouts, phases and deployments, and every legal step between them.

These tables are the only thing that decides what may follow what; services ask them and nothing
else changes a state.
"""

from collections.abc import Mapping
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


class Bucket(StrEnum):
    """What a deployment counts as in its phase: the counters are kept by these."""

    WAITING = "waiting"
    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


R, D = RolloutState, DeploymentState

ROLLOUT_TRANSITIONS: Mapping[RolloutState, frozenset[RolloutState]] = {
    R.DRAFT: frozenset({R.PENDING_APPROVAL, R.SCHEDULED, R.RUNNING, R.CANCELLED}),
    R.PENDING_APPROVAL: frozenset({R.SCHEDULED, R.DRAFT, R.CANCELLED}),
    R.SCHEDULED: frozenset({R.RUNNING, R.DRAFT, R.CANCELLED}),
    R.RUNNING: frozenset({R.PAUSED, R.HALTED, R.COMPLETED, R.CANCELLED}),
    R.PAUSED: frozenset({R.RUNNING, R.HALTED, R.CANCELLED}),
    # A failed gate cannot be passed. It runs again only where a person leaves out the devices that
    # failed and the gate has nothing against the others (`engine.EXCLUDED`).
    R.HALTED: frozenset({R.CANCELLED, R.ROLLING_BACK, R.RUNNING}),
    R.ROLLING_BACK: frozenset({R.ROLLED_BACK, R.HALTED}),
    R.ROLLED_BACK: frozenset(),
    R.COMPLETED: frozenset({R.ROLLING_BACK}),
    R.CANCELLED: frozenset(),
}

# In the order in which a device goes through them.
ACTIVE_DEPLOYMENT_STATES = (
    D.OFFERED,
    D.DOWNLOADING,
    D.DOWNLOADED,
    D.INSTALLING,
    D.REBOOTING,
    D.VERIFYING,
)
# Until here a device can stop without harm; from installing on it finishes on its own.
STOPPABLE_DEPLOYMENT_STATES = (D.OFFERED, D.DOWNLOADING, D.DOWNLOADED)
REPORTED_FINAL_STATES = frozenset({D.SUCCEEDED, D.FAILED, D.ROLLED_BACK})
FINAL_DEPLOYMENT_STATES = REPORTED_FINAL_STATES | {
    D.TIMED_OUT,
    D.CANCELLED,
    D.SKIPPED,
    D.SUPERSEDED,
}


def _deployment_transitions() -> dict[DeploymentState, frozenset[DeploymentState]]:
    """Active states only go forward, skipping where a report was lost; final ones stay."""
    table = {state: frozenset[DeploymentState]() for state in FINAL_DEPLOYMENT_STATES}
    table[D.WAITING] = frozenset({D.OFFERED, D.CANCELLED, D.SKIPPED, D.SUPERSEDED})
    for place, state in enumerate(ACTIVE_DEPLOYMENT_STATES):
        later = frozenset(ACTIVE_DEPLOYMENT_STATES[place + 1 :])
        stopped = {D.CANCELLED, D.SUPERSEDED} if state in STOPPABLE_DEPLOYMENT_STATES else set()
        # Skipped: the device was taken out, so its outcome says nothing about the release.
        table[state] = later | REPORTED_FINAL_STATES | {D.TIMED_OUT, D.SKIPPED} | stopped
    return table


DEPLOYMENT_TRANSITIONS: Mapping[DeploymentState, frozenset[DeploymentState]] = (
    _deployment_transitions()
)

_BUCKETS: Mapping[DeploymentState, Bucket] = {
    D.WAITING: Bucket.WAITING,
    **dict.fromkeys(ACTIVE_DEPLOYMENT_STATES, Bucket.ACTIVE),
    D.SUCCEEDED: Bucket.SUCCEEDED,
    # Time-outs and roll-backs speak against the release as much as failures do.
    D.FAILED: Bucket.FAILED,
    D.ROLLED_BACK: Bucket.FAILED,
    D.TIMED_OUT: Bucket.FAILED,
    D.CANCELLED: Bucket.CANCELLED,
    D.SUPERSEDED: Bucket.CANCELLED,
    D.SKIPPED: Bucket.SKIPPED,
}


def can_rollout_become(state: RolloutState, target: RolloutState) -> bool:
    """Whether a rollout may go from one state to the other in one step."""
    return target in ROLLOUT_TRANSITIONS[state]


def can_deployment_become(state: DeploymentState, target: DeploymentState) -> bool:
    """Whether a deployment may go from one state to the other in one step."""
    return target in DEPLOYMENT_TRANSITIONS[state]


def deployment_states_before(target: DeploymentState) -> tuple[DeploymentState, ...]:
    """All states from which `target` may be reached in one step, for conditional updates."""
    return tuple(s for s in DeploymentState if can_deployment_become(s, target))


def bucket_of(state: DeploymentState) -> Bucket:
    """What a deployment in this state counts as."""
    return _BUCKETS[state]


# A device whose deployment ended so may still have the release, or a part of it.
FAILED_DEPLOYMENT_STATES = tuple(s for s in DeploymentState if bucket_of(s) is Bucket.FAILED)

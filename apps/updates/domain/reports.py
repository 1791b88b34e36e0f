"""What a device's report does to its deployment."""

from dataclasses import dataclass
from enum import StrEnum

from apps.updates.domain.states import (
    ACTIVE_DEPLOYMENT_STATES,
    FINAL_DEPLOYMENT_STATES,
    REPORTED_FINAL_STATES,
    DeploymentState,
    can_deployment_become,
)

# What the database holds. No device comes so far by counting.
MAX_SEQUENCE = 2**31 - 1


class Outcome(StrEnum):
    """What became of a report."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    # The device's last word came after the platform had given up; noted, the state stays.
    RECONCILED = "reconciled"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known about a deployment: its state and the number of its last report."""

    state: DeploymentState
    report_sequence: int

    @property
    def is_terminal(self) -> bool:
        """Whether the platform is through with it."""
        return self.state in FINAL_DEPLOYMENT_STATES


def take_report(
    standing: Standing, sequence: int, step: DeploymentState
) -> tuple[Outcome, Standing]:
    """What becomes of report number `sequence`, which says that the device is at `step`.

    A number seen last answers as before, an older one is ignored; terminal states never reopen;
    steps may be skipped, because reports can be lost, but never taken backwards. A device that says
    that it waits (for a window, for agreement, for a hook) stays where it is.
    """
    if sequence == standing.report_sequence:
        return Outcome.DUPLICATE, standing
    if not 0 < sequence <= MAX_SEQUENCE:
        return Outcome.IGNORED, standing
    if sequence < standing.report_sequence or standing.state is DeploymentState.WAITING:
        return Outcome.IGNORED, standing
    if standing.is_terminal:
        late = standing.state is DeploymentState.TIMED_OUT and step in REPORTED_FINAL_STATES
        outcome = Outcome.RECONCILED if late else Outcome.IGNORED
        return outcome, Standing(standing.state, sequence)
    if step is DeploymentState.WAITING:
        return Outcome.STORED, Standing(standing.state, sequence)
    forward = step == standing.state or can_deployment_become(standing.state, step)
    if forward and is_reportable(step):
        return Outcome.STORED, Standing(step, sequence)
    return Outcome.IGNORED, Standing(standing.state, sequence)


def is_reportable(step: DeploymentState) -> bool:
    """Whether a device may say that it is here; the other states are the platform's to give."""
    at_work = step in ACTIVE_DEPLOYMENT_STATES and step is not DeploymentState.OFFERED
    return at_work or step in REPORTED_FINAL_STATES

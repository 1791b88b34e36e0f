"""Why rollouts leave a device alone, and when a device that keeps failing is."""

from collections.abc import Iterable
from enum import StrEnum

from apps.updates.domain.states import Bucket, DeploymentState, bucket_of


class HoldKind(StrEnum):
    """A pin is a person's wish; a quarantine follows repeated failures."""

    PINNED = "pinned"
    QUARANTINED = "quarantined"


def consecutive_failures(states: Iterable[str]) -> int:
    """How many deployments of a device failed one after the other, the newest first.

    Deployments that were cancelled, skipped or superseded say nothing either way.
    """
    failures = 0
    for state in states:
        match bucket_of(DeploymentState(state)):
            case Bucket.FAILED:
                failures += 1
            case Bucket.SUCCEEDED:
                break
    return failures

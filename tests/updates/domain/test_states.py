"""Every pair of states, legal or not, against tables written out by hand."""

import itertools

import pytest

from apps.updates.domain.states import (
    ACTIVE_DEPLOYMENT_STATES,
    FINAL_DEPLOYMENT_STATES,
    Bucket,
    DeploymentState,
    RolloutState,
    bucket_of,
    can_deployment_become,
    can_rollout_become,
    deployment_states_before,
)

ROLLOUT = {
    "draft": "pending_approval scheduled running cancelled",
    "pending_approval": "scheduled draft cancelled",
    "scheduled": "running draft cancelled",
    "running": "paused halted completed cancelled",
    "paused": "running halted cancelled",
    "halted": "cancelled rolling_back running",
    "rolling_back": "rolled_back halted",
    "rolled_back": "",
    "completed": "rolling_back",
    "cancelled": "",
}
REPORTED = "succeeded failed rolled_back"
DEPLOYMENT = {
    "waiting": "offered cancelled skipped superseded",
    "offered": "downloading downloaded installing rebooting verifying timed_out cancelled skipped"
    f" superseded {REPORTED}",
    "downloading": "downloaded installing rebooting verifying timed_out cancelled skipped"
    f" superseded {REPORTED}",
    "downloaded": "installing rebooting verifying timed_out cancelled skipped superseded"
    f" {REPORTED}",
    "installing": f"rebooting verifying timed_out skipped {REPORTED}",
    "rebooting": f"verifying timed_out skipped {REPORTED}",
    "verifying": f"timed_out skipped {REPORTED}",
}


@pytest.mark.parametrize(("source", "target"), [*itertools.product(RolloutState, RolloutState)])
def test_a_rollout_takes_exactly_the_steps_of_the_table(
    source: RolloutState, target: RolloutState
) -> None:
    assert can_rollout_become(source, target) == (target.value in ROLLOUT[source].split())


@pytest.mark.parametrize(
    ("source", "target"), [*itertools.product(DeploymentState, DeploymentState)]
)
def test_a_deployment_takes_exactly_the_steps_of_the_table(
    source: DeploymentState, target: DeploymentState
) -> None:
    legal = target.value in DEPLOYMENT.get(source.value, "").split()
    assert can_deployment_become(source, target) == legal
    assert (source in deployment_states_before(target)) == legal


def test_each_state_is_waiting_active_or_final_and_counts_once() -> None:
    groups = [{DeploymentState.WAITING}, set(ACTIVE_DEPLOYMENT_STATES), FINAL_DEPLOYMENT_STATES]
    assert sorted(itertools.chain(*groups)) == sorted(DeploymentState)
    assert {bucket_of(s) for s in DeploymentState} == set(Bucket)


def test_time_outs_and_roll_backs_count_as_failures() -> None:
    failed = {s for s in DeploymentState if bucket_of(s) is Bucket.FAILED}
    assert failed == {
        DeploymentState.FAILED,
        DeploymentState.TIMED_OUT,
        DeploymentState.ROLLED_BACK,
    }

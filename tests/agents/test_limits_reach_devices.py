"""What a plan says of the time for each step is what the device goes by."""

from datetime import UTC, datetime
from uuid import uuid4

from fleetd_agent.messages import Step
from fleetd_agent.wire import offer_from_pb

from apps.agents.messages import offer_message
from apps.updates.domain.installation import TIMED_STEPS, Installation
from apps.updates.domain.plan import Plan
from apps.updates.types import Offer


def test_the_limits_of_all_steps_reach_the_device_by_the_names_that_it_knows() -> None:
    limits = {step: 60 + place for place, step in enumerate(TIMED_STEPS)}
    deadline = datetime(2026, 12, 1, tzinfo=UTC)
    offer = Offer(
        deployment_id=uuid4(),
        device_id=uuid4(),
        rollout_id=uuid4(),
        release_name="app",
        release_version="2",
        components=(),
        lease_seconds=300,
        deadline=deadline,
        plan=Plan(installation=Installation(step_timeouts=limits)),
    )
    taken = offer_from_pb(offer_message(offer).deployment_offer)
    assert taken.policy is not None
    assert taken.policy.step_timeouts == limits
    assert {Step(name).value for name in limits} == set(limits)
    assert taken.deadline_at() == deadline

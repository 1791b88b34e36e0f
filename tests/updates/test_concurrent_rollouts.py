"""Eight threads act on the same rollouts at once; nothing is lost, doubled or undone (S80)."""

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connections

from apps.core import clock
from apps.core.actors import Actor, Source, system_actor
from apps.core.errors import FleetdError
from apps.core.tenancy import tenant
from apps.devices.domain.states import Lifecycle
from apps.devices.models import Device
from apps.updates.domain.installation import Installation
from apps.updates.domain.plan import PhasePlan, Plan, Rate
from apps.updates.domain.states import FINAL_DEPLOYMENT_STATES, DeploymentState
from apps.updates.models import Deployment, Rollout
from apps.updates.selectors.rollouts import check_log
from apps.updates.services.exclusions import exclude_and_continue
from apps.updates.services.joining import close_rollout, join_rollout
from apps.updates.services.offers import apply_reports, claim_deployments
from apps.updates.services.rollouts import (
    advance_phase,
    cancel_rollout,
    pause_rollout,
    resume_rollout,
    start_rollout,
)
from apps.updates.services.scheduling import advance_rollout, expire_deployments, skip_device
from apps.updates.types import Offer, Report
from tests import factories
from tests.factories import Cast
from tests.updates.conftest import (
    counts_of_phases,
    counts_of_rows,
    make_release,
    make_rollout,
)

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 8
# Of each thread; FLEETD_BAR_EXAMPLES=500 for the whole bar.
OPERATIONS = int(os.environ.get("FLEETD_BAR_EXAMPLES") or 40)
DEVICES = 40
LATE = 10
DYNAMIC = 3


def pass_gate(actor: Actor, rollout_id: UUID) -> Rollout:
    """Somebody does not want to wait for the gate."""
    return advance_phase(actor, rollout_id, index=0, reason="Go on.")


def leave_out(actor: Actor, rollout_id: UUID) -> Rollout:
    """Somebody goes on without some devices."""
    return exclude_and_continue(
        actor, rollout_id, attribute="tag", value="odd", reason="These are odd."
    )


# Every kind of limit: claims lock one rollout together and the others one by one.
PLANS = (
    Plan((PhasePlan(10), PhasePlan(50), PhasePlan(100))),
    Plan(
        (PhasePlan(10), PhasePlan(50, maximum_in_flight=4), PhasePlan(100)),
        installation=Installation(maximum_attempts=3, backoff_seconds=0),
    ),
    Plan((PhasePlan(50, rate=Rate(20)), PhasePlan(100)), priority=1),
    Plan(
        (PhasePlan(0, filter='tags:"lab"'), PhasePlan(50), PhasePlan(100)),
        installation=Installation(allow_downgrade=True),
        is_dynamic=True,
    ),
)


@dataclass
class Storm:
    """What the threads share."""

    organization_id: UUID
    alice: Actor
    device_ids: list[UUID]
    rollout_ids: list[UUID]
    late_ids: list[UUID]
    offers: list[Offer] = field(default_factory=list)
    handed_out: list[UUID] = field(default_factory=list)
    seen_final: dict[UUID, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def system(self) -> Actor:
        return system_actor(self.organization_id, source=Source.AGENT)

    def claim(self, dice: random.Random) -> None:
        devices = dice.sample(self.device_ids, 12)
        offers = claim_deployments(self.system, devices)
        with self.lock:
            self.offers += offers
            self.handed_out += [o.deployment_id for o in offers]

    def report(self, dice: random.Random) -> None:
        with self.lock:
            chosen = dice.sample(self.offers, min(10, len(self.offers)))
        steps = ["downloading", "installing", "verifying", "succeeded", "succeeded"]
        steps += ["failed"] if dice.random() < 0.02 else []
        reports = [
            Report(o.device_id, o.deployment_id, dice.randint(1, 6), dice.choice(steps))
            for o in chosen
        ]
        apply_reports(self.system, reports)

    def advance(self, dice: random.Random) -> None:
        advance_rollout(self.system, dice.choice(self.rollout_ids))

    def person(self, dice: random.Random) -> None:
        operation: Callable[[Actor, UUID], Rollout] = dice.choices(
            [start_rollout, pause_rollout, resume_rollout, cancel_rollout, pass_gate, leave_out],
            [3, 3, 6, 0.2, 1, 0.5],
        )[0]
        operation(self.alice, dice.choice(self.rollout_ids))

    def expire(self, dice: random.Random) -> None:
        rows = Deployment.objects.for_org(self.organization_id)
        if dice.random() < 0.05:
            some = rows.filter(device_id=dice.choice(self.device_ids), state="offered")
            some.update(deadline_at=clock.now() - timedelta(seconds=1))
        expire_deployments(self.system)

    def decommission(self, dice: random.Random) -> None:
        if dice.random() < 0.05:
            skip_device(self.system, dice.choice(self.device_ids))

    def join(self, dice: random.Random) -> None:
        """A device of the dynamic rollout comes, as if it had matched just now."""
        rows = Device.objects.for_org(self.organization_id)
        if dice.random() < 0.3:
            rows.filter(id=dice.choice(self.late_ids)).update(lifecycle="active")
        join_rollout(self.system, self.rollout_ids[DYNAMIC])

    def close(self, dice: random.Random) -> None:
        if dice.random() < 0.05:
            close_rollout(self.alice, self.rollout_ids[DYNAMIC])

    def look(self, _dice: random.Random) -> None:
        """Notes terminal states: none may ever change again."""
        rows = Deployment.objects.for_org(self.organization_id)
        final = dict(rows.filter(state__in=FINAL_DEPLOYMENT_STATES).values_list("id", "state"))
        with self.lock:
            for id_, state in final.items():
                assert self.seen_final.setdefault(id_, state) == state

    def run(self, seed: int) -> list[str]:
        """One thread's operations; the answer is the codes of refusals."""
        dice, refused = random.Random(seed), []
        actions = [self.claim, self.report, self.advance, self.person, self.look]
        actions += [self.claim, self.report, self.report, self.expire, self.decommission]
        actions += [self.join, self.close]
        try:
            for _ in range(OPERATIONS):
                try:
                    with tenant(self.organization_id):
                        dice.choice(actions)(dice)
                except FleetdError as error:
                    refused.append(error.code)
        finally:
            connections.close_all()
        return refused


@pytest.fixture
def storm(acme: Cast, alice: Actor) -> Storm:
    more = [
        factories.device(acme.id, tags=["odd"] if number % 5 == 0 else [])
        for number in range(DEVICES - 2)
    ]
    with tenant(acme.id):
        rollouts = [
            make_rollout(alice, make_release(alice, str(n), f"{n}".encode()), plan=plan).id
            for n, plan in enumerate(PLANS)
        ]
    pending = [factories.device(acme.id, lifecycle=Lifecycle.PENDING) for _ in range(LATE)]
    late = [device.id for device in pending]
    return Storm(acme.id, alice, [d.id for d in (*acme.devices, *more)] + late, rollouts, late)


def in_threads(function: Callable[[int], object]) -> list[object]:
    """Runs `function` in all threads at once; an exception in one of them is raised here."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, range(THREADS)))


def test_a_storm_leaves_counters_rows_and_logs_in_agreement(storm: Storm) -> None:
    seed = random.randrange(10**6)  # from the run's own seed, which pytest prints
    in_threads(lambda n: storm.run(seed + n))
    with tenant(storm.organization_id):
        storm.look(random.Random(0))
        for rollout_id in storm.rollout_ids:
            advance_rollout(storm.system, rollout_id)
            rollout = Rollout.objects.for_org(storm.organization_id).get(id=rollout_id)
            assert counts_of_phases(rollout) == counts_of_rows(rollout)
            assert check_log(storm.alice, rollout_id).differences == ()
        rows = Deployment.objects.for_org(storm.organization_id)
        assert len(storm.handed_out) == len(set(storm.handed_out))
        assert set(storm.handed_out) == set(rows.filter(offers=1).values_list("id", flat=True))
        assert not rows.filter(offers__gt=1).exists()
        assert storm.handed_out
        once = rows.filter(attempt=1).values_list("rollout_id", "device_id")
        assert len(once) == len(set(once))


def test_gateways_that_claim_for_the_same_devices_share_the_work(storm: Storm) -> None:
    with tenant(storm.organization_id):
        for rollout_id in storm.rollout_ids:
            start_rollout(storm.alice, rollout_id)

    def claim(_thread: int) -> list[Offer]:
        try:
            with tenant(storm.organization_id):
                return claim_deployments(storm.system, storm.device_ids)
        finally:
            connections.close_all()

    offers = [offer for found in in_threads(claim) for offer in found]
    assert len({o.device_id for o in offers}) == len(offers)
    with tenant(storm.organization_id):
        leftover = claim_deployments(storm.system, storm.device_ids)
        active = Deployment.objects.for_org(storm.organization_id).filter(
            state=DeploymentState.OFFERED
        )
        assert active.count() == len(offers) + len(leftover)


def test_nothing_is_handed_out_after_a_pause_has_answered(storm: Storm) -> None:
    with tenant(storm.organization_id):
        start_rollout(storm.alice, storm.rollout_ids[0])
    begun: list[int] = []

    def count_begun() -> int:
        rows = Deployment.objects.for_org(storm.organization_id)
        return rows.exclude(state=DeploymentState.WAITING).count()

    def work(thread: int) -> None:
        try:
            for turn in range(10):
                with tenant(storm.organization_id):
                    if thread or turn < 2:
                        claim_deployments(storm.system, storm.device_ids, limit=1)
                    else:
                        pause_rollout(storm.alice, storm.rollout_ids[0])
                if thread == 0 and turn == 2:
                    with tenant(storm.organization_id):
                        begun.append(count_begun())
        finally:
            connections.close_all()

    in_threads(work)
    with tenant(storm.organization_id):
        assert begun == [count_begun()]


def test_one_report_sent_eight_times_at_once_counts_once(storm: Storm) -> None:
    with tenant(storm.organization_id):
        rollout = start_rollout(storm.alice, storm.rollout_ids[0])
        offers = claim_deployments(storm.system, storm.device_ids)
    reports = [Report(o.device_id, o.deployment_id, 1, "succeeded") for o in offers]

    def send(_thread: int) -> list[str]:
        try:
            with tenant(storm.organization_id):
                return [r.outcome for r in apply_reports(storm.system, reports)]
        finally:
            connections.close_all()

    outcomes = [outcome for found in in_threads(send) for outcome in found]
    assert outcomes.count("stored") == len(reports)
    assert outcomes.count("duplicate") == len(reports) * (THREADS - 1)
    assert counts_of_phases(rollout) == counts_of_rows(rollout)
    with tenant(storm.organization_id):
        done = Device.objects.for_org(storm.organization_id).exclude(installed={})
        assert done.count() == len(reports)


def test_a_rollout_started_by_eight_people_at_once_starts_once(storm: Storm) -> None:
    def start(_thread: int) -> str:
        try:
            with tenant(storm.organization_id):
                return start_rollout(storm.alice, storm.rollout_ids[0]).state
        finally:
            connections.close_all()

    assert set(in_threads(start)) == {"running"}
    with tenant(storm.organization_id):
        rows = Deployment.objects.for_org(storm.organization_id)
        assert rows.filter(rollout_id=storm.rollout_ids[0]).count() == DEVICES

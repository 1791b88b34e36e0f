"""Starting, pausing, resuming and cancelling rollouts, and the gates in between."""

import hashlib
import time
from uuid import uuid4

import pytest

from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import NotFound, PermissionDenied
from apps.core.pagination import PageRequest
from apps.devices.domain.states import Lifecycle
from apps.devices.models import Device
from apps.events.models import OutboxEvent
from apps.updates.domain.plan import order_key, phase_ends, phase_of, simple_plan
from apps.updates.domain.verdict import verdict
from apps.updates.errors import (
    RolloutFinished,
    RolloutNotPaused,
    RolloutNotRunning,
    RolloutNotStartable,
    RolloutTargetEmpty,
)
from apps.updates.models import Deployment, Release
from apps.updates.selectors.deployments import list_deployments, list_withdrawn
from apps.updates.selectors.reasons import list_reasons
from apps.updates.selectors.releases import get_release
from apps.updates.selectors.rollouts import get_rollout, list_rollout_events
from apps.updates.services.offers import claim_deployments
from apps.updates.services.rollouts import (
    cancel_rollout,
    pause_rollout,
    resume_rollout,
    start_rollout,
)
from apps.updates.services.scheduling import skip_device
from tests.updates.conftest import (
    Fleet,
    counts_of_phases,
    counts_of_rows,
    make_rollout,
)


def test_starting_makes_deployments_in_the_order_of_the_hash(fleet: Fleet) -> None:
    percents = (5, 50, 100)
    rollout = fleet.start(percents=percents)
    rows = Deployment.objects.for_org(fleet.organization_id).order_by("position")
    expected = sorted(fleet.device_ids, key=lambda device: order_key(device, rollout.id))
    assert [row.device_id for row in rows] == expected
    ends = phase_ends(len(expected), simple_plan(percents).phases)
    assert [row.phase_index for row in rows] == [phase_of(n, ends) for n in range(len(expected))]
    assert [row.id.version for row in rows] == [7] * len(expected)
    assert {row.state for row in rows} == {"waiting"}
    assert [p.total for p in fleet.phases(rollout)] == [1, 3, 4]
    assert counts_of_phases(rollout) == counts_of_rows(rollout)


def test_an_older_postgresql_makes_the_same_kind_of_ids(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.updates.services.moves._HAS_UUID7", 10**9)
    fleet.start()
    ids = Deployment.objects.for_org(fleet.organization_id).values_list("id", flat=True)
    assert {id_.version for id_ in ids} == {7}
    now = time.time() * 1000
    assert all(0 <= now - (id_.int >> 80) < 60_000 for id_ in ids)


def test_starting_locks_the_release_and_opens_the_first_phase(fleet: Fleet, alice: Actor) -> None:
    rollout = fleet.start(percents=(50, 100))
    assert (rollout.state, rollout.open_phase) == ("running", 0)
    assert get_release(alice, rollout.release_id).locked_at is not None
    assert [p.state for p in fleet.phases(rollout)] == ["open", "waiting"]
    events = list_rollout_events(alice, rollout.id, PageRequest()).items
    assert [e.type for e in events] == ["created", "started", "phase_opened"]
    types = OutboxEvent.objects.for_org(fleet.organization_id).values_list("type", flat=True)
    assert {"updates.rollout.started.v1", "updates.phase.opened.v1"} <= set(types)


def test_only_active_devices_become_targets(fleet: Fleet) -> None:
    Device.objects.for_org(fleet.organization_id).filter(id=fleet.device_ids[0]).update(
        lifecycle=Lifecycle.QUARANTINED.value
    )
    rollout = fleet.start()
    assert fleet.phases(rollout)[0].total == len(fleet.device_ids) - 1


def test_a_target_that_has_become_empty_is_refused_at_the_start(
    fleet: Fleet, alice: Actor, release: Release
) -> None:
    rollout = make_rollout(alice, release)
    Device.objects.for_org(fleet.organization_id).update(lifecycle=Lifecycle.QUARANTINED.value)
    with pytest.raises(RolloutTargetEmpty):
        start_rollout(alice, rollout.id)
    assert get_rollout(alice, rollout.id).state == "draft"
    assert get_release(alice, release.id).locked_at is None


def test_phases_open_one_after_the_other_until_all_is_done(fleet: Fleet, alice: Actor) -> None:
    rollout = fleet.start(percents=(25, 100))
    first = fleet.claim()
    assert len(first) == 2
    fleet.finish(first[:1])
    assert fleet.advance(rollout).open_phase == 0
    assert fleet.phases(rollout)[0].gate_reason == "1 of 2 succeeded, 1 to go"
    fleet.finish(first[1:])
    assert fleet.advance(rollout).open_phase == 1
    fleet.finish(fleet.claim())
    fleet.advance(rollout)
    done = get_rollout(alice, rollout.id)
    assert (done.state, verdict(done, clock.now())) == ("completed", "Completed: 8 of 8 succeeded.")
    assert done.finished_at is not None
    assert [p.gate_decision for p in fleet.phases(rollout)] == ["promote", "promote"]
    actions = AuditEntry.objects.for_org(fleet.organization_id).values_list("action", flat=True)
    assert {"updates.promote_phase", "updates.open_phase", "updates.complete_rollout"} <= set(
        actions
    )


@pytest.mark.parametrize("step", ["failed", "rolled_back"])
def test_one_bad_device_halts_the_rollout_for_good(fleet: Fleet, alice: Actor, step: str) -> None:
    rollout = fleet.start(percents=(50, 100))
    offers = fleet.claim()
    fleet.report(offers[0], 1, step, reason_code="verify_failed", message="no answer")
    fleet.advance(rollout)
    halted = get_rollout(alice, rollout.id)
    assert halted.state == "halted"
    assert verdict(halted, clock.now()) == (
        "Halted in phase 1 of 2: 0 of 4 succeeded, 1 failed: no failure is accepted;"
        " 3 devices still at work."
    )
    fleet.finish(offers[1:])
    fleet.advance(rollout)
    assert "; by now 3 of 8 succeeded, 1 failed." in verdict(
        get_rollout(alice, rollout.id), clock.now()
    )
    assert fleet.claim() == []
    for operation in (resume_rollout, pause_rollout, start_rollout):
        with pytest.raises((RolloutNotPaused, RolloutNotRunning, RolloutNotStartable)):
            operation(alice, rollout.id)
    assert counts_of_phases(rollout) == counts_of_rows(rollout)
    found = [why for why in list_reasons(alice, rollout.id) if why.failed]
    assert [(why.reason, why.states) for why in found] == [("verify_failed", ((step, 1),))]


def test_looking_again_changes_nothing(fleet: Fleet, alice: Actor) -> None:
    rollout = fleet.start(percents=(50, 100))
    fleet.finish(fleet.claim())
    fleet.advance(rollout)
    before = get_rollout(alice, rollout.id)
    fleet.advance(rollout)
    after = get_rollout(alice, rollout.id)
    assert (after.event_count, after.state_hash) == (before.event_count, before.state_hash)


def test_while_paused_no_device_starts_and_those_at_work_finish(fleet: Fleet, alice: Actor) -> None:
    rollout = fleet.start(percents=(50, 100))
    offers = claim_deployments(fleet.system, fleet.device_ids, limit=2)
    assert len(offers) == 2
    assert pause_rollout(alice, rollout.id).state == "paused"
    assert fleet.claim() == []
    fleet.finish(offers)
    fleet.advance(rollout)
    assert get_rollout(alice, rollout.id).open_phase == 0
    assert resume_rollout(alice, rollout.id).state == "running"
    fleet.finish(fleet.claim())
    assert fleet.advance(rollout).open_phase == 1


def test_cancelling_stops_what_has_not_begun_to_install(fleet: Fleet, alice: Actor) -> None:
    rollout = fleet.start()
    offers = fleet.claim()
    steps = ["downloading", "downloaded", "installing", "rebooting", "verifying", "succeeded"]
    for offer, step in zip(offers, steps, strict=False):
        fleet.report(offer, 1, step)
    cancelled = cancel_rollout(alice, rollout.id)
    states = [fleet.deployment(offer).state for offer in offers]
    assert states == ["cancelled", "cancelled", *steps[2:], "cancelled", "cancelled"]
    assert verdict(cancelled, clock.now()) == (
        "Cancelled: 1 of 8 succeeded, 4 cancelled, 3 still finishing."
    )
    told = list_withdrawn(fleet.system, [offer.deployment_id for offer in offers])
    assert {w.device_id for w in told if w.reason == "rollout_cancelled"} == {
        offers[i].device_id for i in (0, 1, 6, 7)
    }
    assert fleet.report(offers[2], 2, "succeeded").outcome == "stored"
    assert counts_of_phases(rollout) == counts_of_rows(rollout)


def test_a_device_that_was_told_to_stop_hears_that_it_is_over(fleet: Fleet, alice: Actor) -> None:
    rollout = fleet.start()
    offer = fleet.claim()[0]
    cancel_rollout(alice, rollout.id)
    result = fleet.report(offer, 1, "installing")
    assert (result.outcome, result.is_terminal) == ("ignored", True)
    assert fleet.deployment(offer).state == "cancelled"


def test_repeating_an_operation_changes_nothing(fleet: Fleet, alice: Actor) -> None:
    rollout = fleet.start()
    for operation in (start_rollout, pause_rollout, resume_rollout, cancel_rollout):
        operation(alice, rollout.id)
        entries = AuditEntry.objects.for_org(fleet.organization_id).count()
        state = operation(alice, rollout.id).state
        assert get_rollout(alice, rollout.id).state == state
        assert AuditEntry.objects.for_org(fleet.organization_id).count() == entries


def test_operations_in_the_wrong_state_are_refused(
    fleet: Fleet, alice: Actor, release: Release
) -> None:
    draft = make_rollout(alice, release)
    with pytest.raises(RolloutNotRunning):
        pause_rollout(alice, draft.id)
    with pytest.raises(RolloutNotPaused):
        resume_rollout(alice, draft.id)
    running = fleet.start(version="2.0.0")
    fleet.finish(fleet.claim())
    fleet.advance(running)
    with pytest.raises(RolloutFinished):
        cancel_rollout(alice, running.id)
    with pytest.raises(RolloutNotStartable):
        start_rollout(alice, running.id)


def test_who_may_do_what(charlie: Actor, bob: Actor, erin: Actor, fleet: Fleet) -> None:
    rollout = fleet.start()
    operations = (start_rollout, pause_rollout, resume_rollout, cancel_rollout)
    for operation in operations:
        with pytest.raises(PermissionDenied):
            operation(bob, rollout.id)
        with pytest.raises(NotFound):
            operation(charlie, rollout.id)
        with pytest.raises(NotFound):
            operation(erin, uuid4())
    assert pause_rollout(erin, rollout.id).state == "paused"
    with pytest.raises(PermissionDenied):
        resume_rollout(erin, rollout.id)
    assert cancel_rollout(erin, rollout.id).state == "cancelled"


def test_a_key_that_may_only_pause_can_pause(fleet: Fleet, alice: Actor) -> None:
    rollout = fleet.start()
    key = alice.narrowed(frozenset({"updates.pause_rollout"}))
    assert pause_rollout(key, rollout.id).state == "paused"
    with pytest.raises(PermissionDenied):
        cancel_rollout(key, rollout.id)
    with pytest.raises(PermissionDenied):
        get_rollout(key, rollout.id)


def test_a_decommissioned_device_is_skipped_and_does_not_count(fleet: Fleet, alice: Actor) -> None:
    rollout = fleet.start()
    offers = fleet.claim()
    fleet.report(offers[0], 1, "installing")
    fleet.finish(offers[1:])
    assert len(skip_device(fleet.system, offers[0].device_id)) == 1
    assert skip_device(fleet.system, offers[0].device_id) == []
    fleet.advance(rollout)
    done = get_rollout(alice, rollout.id)
    assert (done.state, verdict(done, clock.now())) == (
        "completed",
        "Completed: 7 of 8 succeeded, 1 skipped.",
    )
    assert fleet.deployment(offers[0]).reason_code == "device_decommissioned"


def test_the_order_in_the_database_is_the_order_in_python(fleet: Fleet) -> None:
    from django.db import connection

    rollout = fleet.start()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT device_id, sha256((device_id::text || rollout_id::text)::bytea)"
            " FROM updates_deployment"
        )
        found = {device: bytes(digest) for device, digest in cursor.fetchall()}
    assert found == {device: order_key(device, rollout.id) for device in fleet.device_ids}
    sample = f"{fleet.device_ids[0]}{rollout.id}".encode()
    assert order_key(fleet.device_ids[0], rollout.id) == hashlib.sha256(sample).digest()


def test_lists_of_deployments_are_of_a_rollout_a_device_or_a_state(
    charlie: Actor, alice: Actor, fleet: Fleet
) -> None:
    rollout = fleet.start()
    offer = fleet.claim()[0]
    page = PageRequest()
    assert len(list_deployments(alice, page, rollout_id=rollout.id).items) == 8
    assert [d.id for d in list_deployments(alice, page, device_id=offer.device_id).items] == [
        offer.deployment_id
    ]
    assert list_deployments(alice, page, state="succeeded").items == []
    assert list_deployments(charlie, page, rollout_id=rollout.id).items == []

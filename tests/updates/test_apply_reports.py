"""Taking what devices say about their deployments."""

from datetime import timedelta
from uuid import uuid4

import pytest

from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import PermissionDenied
from apps.devices.models import Device
from apps.events.models import OutboxEvent
from apps.updates.models import Deployment
from apps.updates.services.offers import apply_reports
from apps.updates.services.scheduling import expire_deployments
from apps.updates.types import Report
from tests.factories import Cast
from tests.updates.conftest import Fleet, counts_of_phases, counts_of_rows

STEPS = ["downloading", "downloaded", "installing", "rebooting", "verifying", "succeeded"]


def installed(fleet: Fleet, device_id: object) -> dict:
    return Device.objects.for_org(fleet.organization_id).get(id=device_id).installed


def test_a_device_walks_through_its_deployment(fleet: Fleet) -> None:
    rollout = fleet.start()
    offer = fleet.claim()[0]
    for sequence, step in enumerate(STEPS, start=1):
        result = fleet.report(offer, sequence, step)
        assert (result.outcome, result.is_terminal) == ("stored", step == "succeeded")
    row = fleet.deployment(offer)
    assert (row.state, row.progress_percent, row.lease_until) == ("succeeded", 100, None)
    assert row.finished_at is not None
    assert installed(fleet, offer.device_id) == {"hello": "1.0.0"}
    assert counts_of_phases(rollout) == counts_of_rows(rollout)
    finished = OutboxEvent.objects.for_org(fleet.organization_id).get(
        type="updates.deployment.finished.v1"
    )
    assert finished.payload["device_id"] == str(offer.device_id)


def test_progress_within_a_step_is_kept(fleet: Fleet) -> None:
    fleet.start()
    offer = fleet.claim()[0]
    fleet.report(offer, 1, "downloading", progress_percent=40)
    assert fleet.deployment(offer).progress_percent == 40
    fleet.report(offer, 2, "downloading", progress_percent=250)
    assert fleet.deployment(offer).progress_percent == 100
    fleet.report(offer, 3, "installing")
    assert fleet.deployment(offer).progress_percent == 0


def test_a_failure_keeps_its_reason_and_log(fleet: Fleet) -> None:
    fleet.start()
    offer = fleet.claim()[0]
    fleet.report(
        offer, 1, "rolled_back", reason_code="verify_failed", message="exit 1", log_tail="boom\0"
    )
    row = fleet.deployment(offer)
    assert (row.state, row.reason_code, row.message) == ("rolled_back", "verify_failed", "exit 1")
    assert row.log_tail == "boom\N{REPLACEMENT CHARACTER}"
    assert installed(fleet, offer.device_id) == {}


def test_over_long_texts_are_cut_and_logs_keep_their_end(fleet: Fleet) -> None:
    fleet.start()
    offer = fleet.claim()[0]
    fleet.report(
        offer, 1, "failed", reason_code="x" * 99, message="y" * 2000, log_tail="a" + "b" * 20_000
    )
    row = fleet.deployment(offer)
    assert (len(row.reason_code), len(row.message)) == (64, 1024)
    assert row.log_tail == "b" * 16_384


def test_a_repeated_report_answers_as_before_and_changes_nothing(fleet: Fleet) -> None:
    fleet.start()
    offer = fleet.claim()[0]
    assert fleet.report(offer, 1, "installing").outcome == "stored"
    before = OutboxEvent.objects.for_org(fleet.organization_id).count()
    again = fleet.report(offer, 1, "installing")
    assert (again.outcome, again.is_terminal) == ("duplicate", False)
    assert OutboxEvent.objects.for_org(fleet.organization_id).count() == before


@pytest.mark.parametrize("before", [[], ["downloading", "downloaded"]])
def test_a_device_that_waits_stays_where_it_is_and_says_why(
    fleet: Fleet, before: list[str]
) -> None:
    rollout = fleet.start()
    offer = fleet.claim()[0]
    for sequence, step in enumerate(before, start=1):
        fleet.report(offer, sequence, step)
    told = fleet.report(offer, 5, "waiting", reason_code="window_closed", message="until 02:00")
    assert told.outcome == "stored"
    row = fleet.deployment(offer)
    assert row.state == (before[-1] if before else "offered")
    assert (row.reason_code, row.message) == ("window_closed", "until 02:00")
    assert counts_of_phases(rollout) == counts_of_rows(rollout)
    fleet.report(offer, 6, "installing")
    row = fleet.deployment(offer)
    assert (row.state, row.reason_code) == ("installing", "")
    fleet.report(offer, 7, "succeeded")
    assert fleet.report(offer, 8, "waiting", reason_code="paused").outcome == "ignored"


def test_a_download_alone_succeeds_and_installs_nothing(fleet: Fleet) -> None:
    fleet.start()
    offer = fleet.claim()[0]
    fleet.report(offer, 1, "succeeded", reason_code="downloaded_only")
    assert fleet.deployment(offer).state == "succeeded"
    assert installed(fleet, offer.device_id) == {}


def test_older_reports_and_steps_backwards_are_ignored(fleet: Fleet) -> None:
    fleet.start()
    offer = fleet.claim()[0]
    fleet.report(offer, 5, "installing")
    assert fleet.report(offer, 4, "downloaded").outcome == "ignored"
    assert fleet.report(offer, 6, "downloading").outcome == "ignored"
    row = fleet.deployment(offer)
    assert (row.state, row.report_sequence) == ("installing", 6)


def test_a_number_that_nothing_can_hold_is_ignored_and_keeps_no_report_of_others_back(
    fleet: Fleet,
) -> None:
    """All reports of a batch are one statement."""
    fleet.start()
    mine, others = fleet.claim(*fleet.device_ids[:2])
    reports = [
        Report(mine.device_id, mine.deployment_id, 2**32 - 1, "succeeded"),
        Report(others.device_id, others.deployment_id, 2**31 - 1, "installing"),
    ]
    assert [r.outcome for r in apply_reports(fleet.system, reports)] == ["ignored", "stored"]
    assert fleet.deployment(mine).state == "offered"
    assert fleet.report(mine, 1, "installing").outcome == "stored"


def test_terminal_states_never_reopen(fleet: Fleet) -> None:
    fleet.start()
    offer = fleet.claim()[0]
    fleet.report(offer, 1, "failed", reason_code="broken")
    for sequence, step in enumerate(STEPS, start=2):
        result = fleet.report(offer, sequence, step)
        assert (result.outcome, result.is_terminal) == ("ignored", True)
    row = fleet.deployment(offer)
    assert (row.state, row.reason_code) == ("failed", "broken")


@pytest.mark.parametrize("step", ["offered", "timed_out", "cancelled", "nonsense", ""])
def test_devices_cannot_report_what_is_the_platforms_to_say(fleet: Fleet, step: str) -> None:
    fleet.start()
    offer = fleet.claim()[0]
    assert fleet.report(offer, 1, step).outcome == "ignored"
    assert fleet.deployment(offer).state == "offered"


def test_many_reports_are_stored_in_one_go_in_their_order(
    fleet: Fleet, django_assert_max_num_queries: object
) -> None:
    rollout = fleet.start()
    reports = [
        Report(o.device_id, o.deployment_id, n, step)
        for o in fleet.claim()
        for n, step in enumerate(STEPS, start=1)
    ]
    with django_assert_max_num_queries(8):
        results = apply_reports(fleet.system, reports)
    assert {r.outcome for r in results} == {"stored"}
    assert [(r.deployment_id, r.report_sequence) for r in results] == [
        (r.deployment_id, r.report_sequence) for r in reports
    ]
    fleet.advance(rollout)
    assert counts_of_phases(rollout) == counts_of_rows(rollout)


def test_another_devices_deployment_is_not_found_and_the_attempt_is_audited(
    globex: Cast, fleet: Fleet
) -> None:
    fleet.start()
    offer, other = fleet.claim()[:2]
    stranger = Report(other.device_id, offer.deployment_id, 1, "failed")
    missing = Report(other.device_id, uuid4(), 1, "failed")
    own = Report(other.device_id, other.deployment_id, 1, "installing")
    results = apply_reports(fleet.system, [stranger, missing, own])
    assert [r.outcome for r in results] == ["not_found", "not_found", "stored"]
    assert [r.is_terminal for r in results] == [True, True, False]
    assert fleet.deployment(offer).state == "offered"
    entry = AuditEntry.objects.for_org(fleet.organization_id).latest("sequence")
    assert (entry.action, entry.result) == ("updates.apply_reports", "denied")
    assert entry.changes["device_id"] == str(other.device_id)
    assert len(entry.changes["deployment_ids"]) == 2


def test_a_device_past_its_deadline_is_given_up_and_counts_as_a_failure(fleet: Fleet) -> None:
    rollout = fleet.start(percents=(50, 100))
    offers = fleet.claim()
    fleet.report(offers[0], 1, "installing")
    overdue(fleet, offers[0])
    assert [m.deployment_id for m in expire_deployments(fleet.system)] == [offers[0].deployment_id]
    assert expire_deployments(fleet.system) == []
    row = fleet.deployment(offers[0])
    assert (row.state, row.reason_code) == ("timed_out", "deadline_passed")
    assert fleet.advance(rollout).state == "halted"
    assert counts_of_phases(rollout) == counts_of_rows(rollout)


def overdue(fleet: Fleet, offer: object) -> None:
    Deployment.objects.for_org(fleet.organization_id).filter(id=offer.deployment_id).update(
        deadline_at=clock.now() - timedelta(seconds=1)
    )


def test_the_last_word_of_a_device_that_was_given_up_is_noted(fleet: Fleet) -> None:
    fleet.start()
    offer = fleet.claim()[0]
    overdue(fleet, offer)
    expire_deployments(fleet.system)
    assert fleet.report(offer, 1, "installing").outcome == "ignored"
    late = fleet.report(offer, 2, "succeeded", log_tail="all well")
    assert (late.outcome, late.is_terminal) == ("reconciled", True)
    row = fleet.deployment(offer)
    assert row.state == "timed_out"
    assert "the device reported succeeded" in row.message
    assert row.log_tail == "all well"
    assert installed(fleet, offer.device_id) == {"hello": "1.0.0"}
    assert fleet.report(offer, 2, "succeeded").outcome == "duplicate"


def test_a_device_that_timed_out_gets_the_next_work(fleet: Fleet) -> None:
    fleet.start(version="1")
    device = fleet.device_ids[0]
    offer = fleet.claim(device)[0]
    second = fleet.start(version="2")
    overdue(fleet, offer)
    expire_deployments(fleet.system)
    assert fleet.claim(device)[0].rollout_id == second.id


def test_other_components_keep_their_versions(fleet: Fleet) -> None:
    device = fleet.device_ids[0]
    Device.objects.for_org(fleet.organization_id).filter(id=device).update(
        installed={"other": "7", "hello": "0.1"}
    )
    fleet.start()
    fleet.report(fleet.claim(device)[0], 1, "succeeded")
    assert installed(fleet, device) == {"other": "7", "hello": "1.0.0"}


def test_a_person_cannot_report(fleet: Fleet, alice: Actor) -> None:
    with pytest.raises(PermissionDenied):
        apply_reports(alice, [])


def test_nothing_to_report_is_fine(fleet: Fleet) -> None:
    assert apply_reports(fleet.system, []) == []

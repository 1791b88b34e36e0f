"""Bringing devices back: each to its own last good release, guarded like any rollout."""

import pytest

from apps.core.actors import Actor
from apps.core.errors import PermissionDenied
from apps.devices.models import Device
from apps.events.services.relay import relay_outbox
from apps.updates.errors import NothingToRollBack, RolloutNotReversible
from apps.updates.models import Deployment, Release, Rollout
from apps.updates.selectors.rollouts import check_log, get_rollout
from apps.updates.services.planning import clone_rollout, retry_rollout
from apps.updates.services.recalls import recall_release
from apps.updates.services.rollbacks import note_rollback_end, roll_back_rollout
from apps.updates.services.rollouts import cancel_rollout, halt_rollout, start_rollout
from apps.updates.subscribers import halt_rollouts_of_recalled_release
from apps.updates.types import Offer, ReleaseRecalled, Target
from tests.updates.conftest import (
    Fleet,
    counts_of_phases,
    counts_of_rows,
    make_release,
    make_rollout,
)


def release_of(fleet: Fleet, version: str) -> Release:
    return make_release(fleet.alice, version, version.encode())


def roll_out(fleet: Fleet, release: Release, *devices: int) -> Rollout:
    """A rollout to these devices, or all, that everybody completed."""
    target = Target(device_ids=tuple(fleet.device_ids[n] for n in devices))
    made = make_rollout(fleet.alice, release, target=target)
    rollout = start_rollout(fleet.alice, made.id)
    fleet.finish(fleet.claim())
    return fleet.advance(rollout)


def versions(offers: list[Offer]) -> dict[object, str]:
    return {offer.device_id: offer.release_version for offer in offers}


def work_through(fleet: Fleet, rollout: Rollout, step: str = "succeeded") -> list[Offer]:
    """Devices do what they are offered, phase by phase."""
    done: list[Offer] = []
    while offers := fleet.claim():
        done += offers
        fleet.finish(offers, step)
        fleet.advance(rollout)
    return done


def told(fleet: Fleet, source: Rollout, rollback: Rollout) -> Rollout:
    """The source after it heard how the roll back ended."""
    note_rollback_end(fleet.system, rollback.id)
    return get_rollout(fleet.alice, source.id)


@pytest.fixture
def source(fleet: Fleet) -> Rollout:
    """3.0.0 everywhere: before, three devices had 1.0.0, three 2.0.0, and two nothing."""
    roll_out(fleet, release_of(fleet, "1.0.0"), 0, 1, 2, 3, 4, 5)
    roll_out(fleet, release_of(fleet, "2.0.0"), 3, 4, 5)
    return roll_out(fleet, release_of(fleet, "3.0.0"))


def test_each_device_goes_back_to_its_own_last_good_release(fleet: Fleet, source: Rollout) -> None:
    rollback = roll_back_rollout(fleet.alice, source.id)
    assert (rollback.state, rollback.rolls_back_id) == ("running", source.id)
    assert get_rollout(fleet.alice, source.id).state == "rolling_back"
    done = work_through(fleet, rollback)
    ids = fleet.device_ids
    assert versions(done) == {
        **dict.fromkeys(ids[:3], "1.0.0"),
        **dict.fromkeys(ids[3:6], "2.0.0"),
    }
    assert all(offer.allow_downgrade for offer in done)
    assert get_rollout(fleet.alice, rollback.id).state == "completed"
    assert told(fleet, source, rollback).state == "rolled_back"
    rows = Device.objects.for_org(fleet.organization_id)
    assert rows.get(id=ids[0]).installed == {"hello": "1.0.0"}
    assert rows.get(id=ids[3]).installed == {"hello": "2.0.0"}
    assert rows.get(id=ids[7]).installed == {"hello": "3.0.0"}
    assert check_log(fleet.alice, source.id).differences == ()


def test_the_source_hears_of_the_end_by_an_event(fleet: Fleet, source: Rollout) -> None:
    rollback = roll_back_rollout(fleet.alice, source.id)
    work_through(fleet, rollback)
    relay_outbox(fleet.system)
    assert get_rollout(fleet.alice, source.id).state == "rolled_back"
    assert (
        told(fleet, source, rollback).event_count == get_rollout(fleet.alice, source.id).event_count
    )


def test_rolling_back_again_answers_the_same_rollout(fleet: Fleet, source: Rollout) -> None:
    first = roll_back_rollout(fleet.alice, source.id)
    assert roll_back_rollout(fleet.alice, source.id).id == first.id
    work_through(fleet, first)
    told(fleet, source, first)
    assert roll_back_rollout(fleet.alice, source.id).id == first.id


def test_a_recalled_release_is_not_what_devices_go_back_to(fleet: Fleet, source: Rollout) -> None:
    bad = Release.objects.for_org(fleet.organization_id).get(version="2.0.0")
    recall_release(fleet.alice, bad.id, reason="It leaks.")
    rollback = roll_back_rollout(fleet.alice, source.id)
    assert set(versions(work_through(fleet, rollback)).values()) == {"1.0.0"}
    assert fleet.phases(rollback)[-1].index == 1
    assert sum(phase.total for phase in fleet.phases(rollback)) == 6


def test_devices_that_are_still_installing_follow(fleet: Fleet) -> None:
    roll_out(fleet, release_of(fleet, "1.0.0"))
    bad = make_rollout(fleet.alice, release_of(fleet, "2.0.0"))
    source = start_rollout(fleet.alice, bad.id)
    busy, stopped, *done = fleet.claim()
    fleet.report(busy, 1, "installing")
    fleet.report(stopped, 1, "downloading")
    fleet.finish(done)
    halt_rollout(fleet.alice, source.id, reason="It hums.")
    rollback = roll_back_rollout(fleet.alice, source.id)
    assert fleet.deployment(stopped).state == "cancelled"
    offered = work_through(fleet, rollback)
    assert stopped.device_id not in versions(offered)
    fleet.report(busy, 2, "succeeded")
    late = work_through(fleet, rollback)
    assert versions(offered + late) == dict.fromkeys(
        (busy.device_id, *(o.device_id for o in done)), "1.0.0"
    )
    fleet.advance(rollback)
    assert told(fleet, source, rollback).state == "rolled_back"
    for each in (source, rollback):
        assert counts_of_phases(each) == counts_of_rows(each)


def test_a_failing_roll_back_halts_and_can_be_tried_anew(fleet: Fleet, source: Rollout) -> None:
    rollback = roll_back_rollout(fleet.alice, source.id)
    fleet.finish(fleet.claim(), "failed")
    assert fleet.advance(rollback).state == "halted"
    assert told(fleet, source, rollback).state == "halted"
    another = roll_back_rollout(fleet.alice, source.id)
    assert another.id != rollback.id
    work_through(fleet, another)
    assert told(fleet, source, another).state == "rolled_back"


def test_a_cancelled_roll_back_halts_its_source(fleet: Fleet, source: Rollout) -> None:
    rollback = roll_back_rollout(fleet.alice, source.id)
    cancel_rollout(fleet.alice, rollback.id)
    assert told(fleet, source, rollback).state == "halted"


def test_where_nothing_was_before_nothing_is_rolled_back(fleet: Fleet) -> None:
    source = roll_out(fleet, release_of(fleet, "1.0.0"))
    with pytest.raises(NothingToRollBack):
        roll_back_rollout(fleet.alice, source.id)


def test_a_running_rollout_is_not_rolled_back(fleet: Fleet, bob: Actor) -> None:
    source = fleet.start()
    with pytest.raises(RolloutNotReversible):
        roll_back_rollout(fleet.alice, source.id)
    with pytest.raises(PermissionDenied):
        roll_back_rollout(bob, source.id)


def test_a_roll_back_is_neither_cloned_nor_retried(fleet: Fleet, source: Rollout) -> None:
    rollback = roll_back_rollout(fleet.alice, source.id)
    fleet.finish(fleet.claim(), "failed")
    fleet.advance(rollback)
    for again in (clone_rollout, retry_rollout):
        with pytest.raises(RolloutNotReversible):
            again(fleet.alice, rollback.id)


def recall(fleet: Fleet, release: Release) -> None:
    recall_release(fleet.alice, release.id, reason="It burns.")
    event = ReleaseRecalled(release_id=release.id, reason="It burns.")
    halt_rollouts_of_recalled_release(fleet.system, event)


def test_a_recall_halts_what_runs_and_stops_devices_that_have_not_begun(fleet: Fleet) -> None:
    release = release_of(fleet, "1.0.0")
    rollout = start_rollout(fleet.alice, make_rollout(fleet.alice, release).id)
    draft = make_rollout(fleet.alice, release)
    downloading, installing, *offered = fleet.claim()
    fleet.report(downloading, 1, "downloading")
    fleet.report(installing, 1, "installing")
    recall(fleet, release)
    halted = get_rollout(fleet.alice, rollout.id)
    assert halted.state == "halted"
    assert halted.phases.all()[0].gate_reason == "the release was recalled: It burns."
    states = {fleet.deployment(offer).state for offer in (downloading, *offered)}
    assert states == {"cancelled"}
    assert fleet.deployment(installing).state == "installing"
    assert get_rollout(fleet.alice, draft.id).state == "draft"
    assert fleet.claim() == []
    fleet.advance(rollout)
    assert counts_of_phases(rollout) == counts_of_rows(rollout)


def test_a_roll_back_no_longer_brings_a_release_that_is_recalled_meanwhile(
    fleet: Fleet, source: Rollout
) -> None:
    rollback = roll_back_rollout(fleet.alice, source.id)
    bad = Release.objects.for_org(fleet.organization_id).get(version="2.0.0")
    recall(fleet, bad)
    rows = Deployment.objects.for_org(fleet.organization_id).filter(rollout_id=rollback.id)
    assert {d.state for d in rows.filter(release_id=bad.id)} == {"cancelled"}
    assert counts_of_phases(rollback) == counts_of_rows(rollback)

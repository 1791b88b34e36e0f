"""Who was away installs the newest release only: newer rollouts take the place of older ones."""

from uuid import UUID

import pytest

from apps.audit.models import AuditEntry
from apps.core.actors import Actor
from apps.core.errors import InvalidRequest
from apps.organizations.models import Membership
from apps.updates.domain import engine
from apps.updates.domain.engine import IllegalTransition, LogEvent, reduce
from apps.updates.domain.gates import GateKind, GatePolicy, OnExhausted
from apps.updates.domain.installation import Installation, Mode
from apps.updates.domain.manifest import parse_manifest
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.domain.sites import SiteLimit
from apps.updates.domain.states import RolloutState
from apps.updates.domain.verdict import summary
from apps.updates.models import Deployment, Release, Rollout, RolloutEvent
from apps.updates.selectors.eligibility import explain_device
from apps.updates.selectors.rollouts import check_log
from apps.updates.selectors.superseding import list_superseded_rollout_ids
from apps.updates.services import superseding
from apps.updates.services.rollbacks import roll_back_rollout
from apps.updates.services.rollouts import pause_rollout, start_rollout
from apps.updates.services.superseding import supersede_devices
from tests import factories
from tests.rest.conftest import Api
from tests.updates.conftest import (
    Fleet,
    counts_of_phases,
    counts_of_rows,
    make_release,
    make_rollout,
)

HALVES = (PhasePlan(50), PhasePlan(100))


def begin(fleet: Fleet, version: str, **plan: object) -> Rollout:
    """A running rollout of this version."""
    release = make_release(fleet.alice, version, version.encode())
    rollout = make_rollout(fleet.alice, release, plan=Plan(**plan))
    return start_rollout(fleet.alice, rollout.id)


def newer(fleet: Fleet, version: str = "2.0.0", **plan: object) -> Rollout:
    """The same, in the place of older ones."""
    return begin(fleet, version, supersedes=True, **plan)


def supersede(fleet: Fleet, rollout: Rollout) -> int:
    """The platform looks; whatever comes of it, counters, rows and log agree."""
    left = supersede_devices(fleet.system, rollout.id)
    assert counts_of_phases(rollout) == counts_of_rows(rollout)
    assert check_log(fleet.alice, rollout.id).differences == ()
    return left


def states(rollout: Rollout) -> dict[UUID, str]:
    """How the rollout stands with each device."""
    rows = Deployment.objects.for_org(rollout.organization_id).filter(rollout_id=rollout.id)
    return dict(rows.filter(is_retried=False).values_list("device_id", "state"))


def test_devices_that_wait_get_the_newer_release_only(fleet: Fleet) -> None:
    older = begin(fleet, "1.0.0")
    at_work = fleet.claim(*fleet.device_ids[:2])
    later = newer(fleet)
    assert supersede(fleet, older) == 6
    assert [*states(older).values()].count("superseded") == 6
    offers = fleet.claim(*fleet.device_ids[2:])
    assert {offer.rollout_id for offer in offers} == {later.id}
    fleet.finish(at_work)
    assert fleet.advance(older).state == RolloutState.COMPLETED
    assert supersede(fleet, older) == 0


def test_it_says_so_in_log_and_audit_trail_and_why(fleet: Fleet) -> None:
    older = begin(fleet, "1.0.0")
    later = newer(fleet)
    supersede(fleet, older)
    rows = RolloutEvent.objects.for_org(fleet.organization_id).filter(rollout_id=older.id)
    event = rows.get(type=engine.SUPERSEDED)
    assert (event.data["by"], event.data["number"]) == (str(later.id), 8)
    assert "A rollout of hello 2.0.0 took over 8 devices" in summary(event.type, event.data)
    entries = AuditEntry.objects.for_org(fleet.organization_id)
    assert entries.filter(action="updates.supersede_devices").count() == 1
    found = explain_device(fleet.alice, fleet.device_ids[0], older.id)
    assert "hello 2.0.0 takes its place" in found.verdict


def test_only_those_leave_whose_phase_of_the_newer_one_is_open(fleet: Fleet) -> None:
    older = begin(fleet, "1.0.0")
    later = newer(fleet, phases=HALVES)
    assert supersede(fleet, older) == 4
    left = {id_ for id_, state in states(older).items() if state == "superseded"}
    first = Deployment.objects.for_org(fleet.organization_id).filter(
        rollout_id=later.id, phase_index=0
    )
    assert left == set(first.values_list("device_id", flat=True))
    fleet.finish(fleet.claim(*left))
    fleet.advance(later)
    assert supersede(fleet, older) == 4
    fleet.advance(older)
    assert fleet.advance(older).state == RolloutState.COMPLETED


def test_without_the_plan_saying_so_nothing_leaves(fleet: Fleet) -> None:
    older = begin(fleet, "1.0.0")
    begin(fleet, "2.0.0")
    assert list_superseded_rollout_ids(fleet.system) == []
    assert supersede(fleet, older) == 0


def test_a_newer_rollout_is_not_superseded_by_an_older_one(fleet: Fleet) -> None:
    older = newer(fleet, "1.0.0")
    later = begin(fleet, "2.0.0")
    assert supersede(fleet, later) == 0
    assert supersede(fleet, older) == 0


def test_an_emergency_stays(fleet: Fleet) -> None:
    urgent = begin(fleet, "1.0.0", priority=50)
    newer(fleet)
    assert list_superseded_rollout_ids(fleet.system) == []
    assert supersede(fleet, urgent) == 0


def test_a_roll_back_stays(fleet: Fleet) -> None:
    for version in ("1.0.0", "2.0.0"):
        rollout = begin(fleet, version)
        fleet.finish(fleet.claim())
        fleet.advance(rollout)
    back = roll_back_rollout(fleet.alice, rollout.id)
    newer(fleet, "3.0.0", priority=100)
    assert back.id not in list_superseded_rollout_ids(fleet.system)
    assert supersede(fleet, back) == 0
    assert set(states(back).values()) == {"waiting"}


def test_who_failed_in_the_newer_one_keeps_its_place_in_the_older(fleet: Fleet) -> None:
    older = begin(fleet, "1.0.0")
    gate = GatePolicy(kind=GateKind.SEQUENTIAL)
    newer(fleet, phases=(PhasePlan(100, gate=gate),), priority=1)
    fleet.finish(fleet.claim(fleet.device_ids[0]), "failed")
    assert supersede(fleet, older) == 7
    assert states(older)[fleet.device_ids[0]] == "waiting"


def test_a_paused_rollout_loses_its_devices_too_and_stays_paused(fleet: Fleet) -> None:
    older = begin(fleet, "1.0.0")
    pause_rollout(fleet.alice, older.id)
    newer(fleet)
    assert supersede(fleet, older) == 8
    assert fleet.advance(older).state == RolloutState.PAUSED


def test_those_who_left_say_nothing_to_the_gate(fleet: Fleet) -> None:
    gate = GatePolicy(kind=GateKind.SEQUENTIAL, minimum_devices=8, on_exhausted=OnExhausted.HOLD)
    older = begin(fleet, "1.0.0", phases=(PhasePlan(100, gate=gate),))
    newer(fleet)
    supersede(fleet, older)
    fleet.advance(older)
    phase = older.phases.get()
    assert phase.gate_decision == "hold"
    assert "8 not counted" in phase.gate_reason


def test_many_leave_in_parts_and_the_rest_follows(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(superseding, "SUPERSEDED_AT_ONCE", 3)
    older = begin(fleet, "1.0.0")
    newer(fleet)
    assert [supersede(fleet, older) for _ in range(4)] == [3, 3, 2, 0]


def test_what_was_left_undone_is_found_again(fleet: Fleet) -> None:
    older = begin(fleet, "1.0.0")
    newer(fleet)
    assert list_superseded_rollout_ids(fleet.system) == [older.id]
    supersede(fleet, older)
    assert list_superseded_rollout_ids(fleet.system) == []


def test_a_rollout_that_only_downloads_takes_nobodys_place(fleet: Fleet) -> None:
    with pytest.raises(InvalidRequest, match="only downloads"):
        newer(fleet, installation=Installation(mode=Mode.DOWNLOAD_ONLY))


def test_a_rollout_that_is_over_has_nobody_to_give(fleet: Fleet) -> None:
    older = begin(fleet, "1.0.0")
    fleet.finish(fleet.claim())
    status = fleet.advance(older).status()
    assert status.state is RolloutState.COMPLETED
    with pytest.raises(IllegalTransition):
        reduce(status, LogEvent(engine.SUPERSEDED, status.started_at or older.created_at))


def test_over_rest_a_plan_says_part_sites_and_whose_place_it_takes(
    alice: Actor, alice_member: Membership, release: Release
) -> None:
    api = Api(factories.api_key(alice_member))
    target = {"tags": [], "percent": 60, "maximum": 1}
    site_limit = {"in_flight": 2, "bytes_per_second": 8192}
    plan = {"phases": [{"percent": 100}], "supersedes": True, "site_limit": site_limit}
    body = {"name": "All of it", "release_id": str(release.id), "target": target, "plan": plan}
    answer = api.post("rollouts", **body)
    assert answer.status_code == 201, answer.content
    told = answer.json()
    assert (told["target"]["percent"], told["target"]["maximum"]) == (60, 1)
    assert told["plan"]["supersedes"]
    assert told["plan"]["site_limit"]["by"] == "labels.site"
    assert told["plan"]["site_limit"]["in_flight"] == 2
    stored = Rollout.objects.for_org(alice.organization_id).get(id=told["id"]).planned()
    assert stored.site_limit == SiteLimit(in_flight=2, bytes_per_second=8192)
    again = parse_manifest(api.get(f"rollouts/{told['id']}/manifest").json()["manifest"])
    assert again.plan == stored
    preview = api.post("rollouts:preview", release_id=str(release.id), target=target).json()
    assert preview["will_update"] == 1
    bad = {**body, "plan": {**plan, "site_limit": {"by": "model"}}}
    answer = api.post("rollouts", **bad)
    assert answer.status_code == 400
    assert "/site_limit/by" in answer.content.decode()

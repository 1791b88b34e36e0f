"""Before a rollout is planned one knows which devices it would update, and why not the others."""

import io
from dataclasses import replace

import pytest

from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import InvalidRequest, PermissionDenied
from apps.core.pagination import PageRequest
from apps.devices.domain.states import Lifecycle
from apps.devices.models import Device
from apps.updates.domain.installation import Installation
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.errors import RolloutTargetEmpty
from apps.updates.models import Deployment, DeviceHold, Release
from apps.updates.selectors.previews import TargetPreview, list_excluded, preview_target
from apps.updates.services.artifacts import store_artifact
from apps.updates.services.releases import create_release
from apps.updates.services.rollouts import start_rollout
from apps.updates.types import Compatibility, NewComponent, Target
from tests import factories
from tests.updates.conftest import Fleet, make_rollout


@pytest.fixture
def app(alice: Actor, in_acme: None) -> Release:
    """Version 2 for pi4, onto a base from 1.5 on that is not broken."""
    artifact = store_artifact(alice, name="a.sh", file=io.BytesIO(b"2"))
    part = NewComponent(name="app", kind="script", artifact_id=artifact.id)
    rules = Compatibility('model = "pi4"', [("base", ">=1.5")], [("legacy", "*")])
    return create_release(
        alice, name="app", version="2.0.0", components=[part], compatibility=rules
    )


@pytest.fixture
def mixed(fleet: Fleet) -> Fleet:
    """Of eight devices of the fleet two would update; one is in quarantine by hand."""
    values = [
        {},
        {"model": "toaster"},
        {"installed": {"base": "1.5.0", "app": "2.0.0"}},
        {"installed": {"base": "1.4.0"}},
        {"installed": {"base": "1.6.0", "legacy": "0.1"}},
        {},
        {},
        {"tags": ["museum"]},
    ]
    for device_id, fields in zip(fleet.device_ids, values, strict=True):
        rows = Device.objects.for_org(fleet.organization_id).filter(id=device_id)
        rows.update(**{"model": "pi4", "installed": {"base": "1.5.0"}, **fields})
    hold(fleet, 5, "pinned")
    factories.device(
        fleet.organization_id,
        model="pi4",
        installed={"base": "1.5.0"},
        lifecycle=Lifecycle.QUARANTINED,
    )
    return fleet


def hold(fleet: Fleet, place: int, kind: str) -> None:
    DeviceHold(
        organization_id=fleet.organization_id,
        device_id=fleet.device_ids[place],
        kind=kind,
        reason="because",
        created_at=clock.now(),
    ).save(force_insert=True)


def counts(preview: TargetPreview) -> dict[str, int]:
    return {reason.code: reason.count for reason in preview.reasons}


def test_every_device_of_the_target_is_counted_once_with_its_reason(
    mixed: Fleet, app: Release
) -> None:
    hold(mixed, 6, "quarantined")
    preview = preview_target(mixed.alice, app.id, Target(), Target(tags=("museum",)))
    assert (preview.matched, preview.will_update) == (8, 1)
    assert [device.id for device in preview.sample] == [mixed.device_ids[0]]
    assert counts(preview) == {
        "excluded": 1,
        "not_compatible": 1,
        "already_installed": 1,
        "requires": 1,
        "conflicts": 1,
        "pinned": 1,
        "quarantined": 1,
    }


def test_a_start_chooses_the_devices_that_were_counted(mixed: Fleet, app: Release) -> None:
    preview = preview_target(mixed.alice, app.id, Target())
    rollout = start_rollout(mixed.alice, make_rollout(mixed.alice, app).id)
    rows = Deployment.objects.for_org(mixed.organization_id).filter(rollout_id=rollout.id)
    assert {row.device_id for row in rows} == {device.id for device in preview.sample}
    assert preview.will_update == 3


def test_devices_with_a_later_version_are_left_out_unless_the_plan_lets_them_go_back(
    mixed: Fleet, app: Release
) -> None:
    newer = Device.objects.for_org(mixed.organization_id).filter(id=mixed.device_ids[0])
    newer.update(installed={"base": "1.5.0", "app": "2.0.1"})
    preview = preview_target(mixed.alice, app.id, Target())
    assert (preview.will_update, counts(preview)["later_installed"]) == (2, 1)
    allowed = preview_target(mixed.alice, app.id, Target(), allows_downgrade=True)
    assert (allowed.will_update, "later_installed" in counts(allowed)) == (3, False)
    for installation, chosen in ((Installation(), 2), (Installation(allow_downgrade=True), 3)):
        draft = make_rollout(mixed.alice, app, plan=Plan(installation=installation))
        assert start_rollout(mixed.alice, draft.id).status().counts.total == chosen


def test_a_target_that_comes_to_nothing_is_refused_with_what_leaves_its_devices_out(
    mixed: Fleet, app: Release
) -> None:
    rows = Device.objects.for_org(mixed.organization_id)
    rows.update(installed={"base": "1.5.0", "app": "2.0.1"})
    with pytest.raises(RolloutTargetEmpty) as refused:
        make_rollout(mixed.alice, app)
    assert "Of 8: 1 not compatible with the release; 7 have a later version" in str(refused.value)
    with pytest.raises(RolloutTargetEmpty, match=r"^The target names no active device\.$"):
        make_rollout(mixed.alice, app, target=Target(tags=("nowhere",)))


def test_devices_in_another_rollout_are_told_but_not_left_out(mixed: Fleet, app: Release) -> None:
    mixed.start()
    preview = preview_target(mixed.alice, app.id, Target())
    assert preview.will_update == 3
    assert counts(preview)["other_deployment"] == 3
    found = list_excluded(
        mixed.alice, app.id, Target(), code="other_deployment", page=PageRequest()
    )
    assert len(found.items) == 3


def test_those_left_out_are_listed_by_reason_page_by_page(mixed: Fleet, app: Release) -> None:
    Device.objects.for_org(mixed.organization_id).update(model="toaster")
    names, token = [], ""
    for _ in range(3):
        page = PageRequest.of(3, token)
        found = list_excluded(mixed.alice, app.id, Target(), code="not_compatible", page=page)
        names += [device.name for device in found.items]
        token = found.next_page_token
    assert len(set(names)) == len(names) == 8
    assert not token


def test_a_hold_that_ended_or_expired_holds_nothing(mixed: Fleet, app: Release) -> None:
    assert counts(preview_target(mixed.alice, app.id, Target()))["pinned"] == 1
    DeviceHold.objects.for_org(mixed.organization_id).update(until=clock.now())
    assert "pinned" not in counts(preview_target(mixed.alice, app.id, Target()))
    DeviceHold.objects.for_org(mixed.organization_id).update(until=None, ended_at=clock.now())
    assert "pinned" not in counts(preview_target(mixed.alice, app.id, Target()))


def test_an_unknown_reason_is_refused(mixed: Fleet, app: Release) -> None:
    with pytest.raises(InvalidRequest):
        list_excluded(mixed.alice, app.id, Target(), code="weather", page=PageRequest())


def test_whoever_may_not_see_rollouts_there_gets_no_counts(mixed: Fleet, app: Release) -> None:
    nobody = replace(mixed.alice, permissions=frozenset())
    with pytest.raises(PermissionDenied):
        preview_target(nobody, app.id, Target())


def test_a_dry_run_says_how_many_devices_each_phase_would_have(mixed: Fleet, app: Release) -> None:
    plan = Plan((PhasePlan(30), PhasePlan(100)))
    tried = make_rollout(mixed.alice, app, plan=plan, validate_only=True)
    assert [phase.counts.total for phase in tried.phases.all()] == [1, 2]
    started = start_rollout(mixed.alice, make_rollout(mixed.alice, app, plan=plan).id)
    assert [phase.counts.total for phase in started.phases.all()] == [1, 2]

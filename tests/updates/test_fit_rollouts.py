"""A rollout goes to the devices that its release fits onto, and to no other."""

import io

import pytest

from apps.core.actors import Actor
from apps.devices.models import Device
from apps.updates.errors import RolloutTargetEmpty
from apps.updates.models import Deployment, Release
from apps.updates.selectors.rollouts import count_target_devices
from apps.updates.services.artifacts import store_artifact
from apps.updates.services.releases import create_release
from apps.updates.services.rollouts import start_rollout
from apps.updates.types import Compatibility, NewComponent, Target
from tests.updates.conftest import Fleet, make_rollout


def release_for(actor: Actor, compatible: str) -> Release:
    artifact = store_artifact(actor, name="a.sh", file=io.BytesIO(compatible.encode()))
    part = NewComponent(name="app", kind="script", artifact_id=artifact.id)
    return create_release(
        actor,
        name="app",
        version="1.0.0",
        components=[part],
        compatibility=Compatibility(compatible),
    )


def test_devices_that_the_release_does_not_fit_are_left_out(fleet: Fleet) -> None:
    chosen = fleet.device_ids[:3]
    Device.objects.for_org(fleet.organization_id).filter(id__in=chosen).update(model="pi4")
    release = release_for(fleet.alice, 'model = "pi4"')
    assert count_target_devices(fleet.alice, Target()) == 8
    assert count_target_devices(fleet.alice, Target(), release=release) == 3
    rollout = start_rollout(fleet.alice, make_rollout(fleet.alice, release).id)
    rows = Deployment.objects.for_org(fleet.organization_id).filter(rollout_id=rollout.id)
    assert {row.device_id for row in rows} == set(chosen)


@pytest.mark.parametrize("is_dry", [True, False])
def test_a_release_that_fits_onto_nothing_is_said_before_anything_is_stored(
    fleet: Fleet, is_dry: bool
) -> None:
    release = release_for(fleet.alice, 'model = "toaster"')
    with pytest.raises(RolloutTargetEmpty):
        make_rollout(fleet.alice, release, validate_only=is_dry)

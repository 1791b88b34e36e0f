"""S05, in reasons and previews: what decides about a device in sight may be out of sight itself.

Given mia, who is in one team, when she asks why a device of hers gets a rollout or not, or previews
a target, then rollouts that she may not see are neither named nor found through what came of them.
"""

from pathlib import Path
from typing import Any

import pytest

from apps.core.actors import system_actor
from apps.core.errors import NotFound
from apps.core.ids import uuid7
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.updates.selectors.eligibility import explain_device
from apps.updates.selectors.previews import list_excluded, preview_sizes, preview_target
from apps.updates.selectors.rollouts import count_target_devices
from apps.updates.services.offers import apply_reports, claim_deployments
from apps.updates.types import Report, Target
from tests.doors.limited import Limited, make_limited


@pytest.fixture
def world(db: None, settings: Any, tmp_path: Path) -> Limited:
    """Acme with two teams; a rollout to everything is under way."""
    return make_limited(settings, tmp_path)


def reasons(world: Limited, person: str) -> str:
    """All that somebody is told of d-one in the rollout of team one."""
    device, rollout = world.devices["d-one"], world.rollouts["r-one"]
    with tenant(world.organization_id):
        found = explain_device(world.actor(person), device.id, rollout.id)
    return "\n".join(f"{each.words} {dict(each.evidence)}" for each in found.reasons)


@pytest.mark.parametrize("is_claimed", [False, True])
def test_s05_reasons_name_no_rollout_out_of_sight(world: Limited, is_claimed: bool) -> None:
    everything = world.rollouts["r-all"]
    if is_claimed:
        with tenant(world.organization_id):
            claim_deployments(system_actor(world.organization_id), [world.devices["d-one"].id])
    told = reasons(world, "mia")
    assert "out of your sight" in told
    assert everything.name not in told
    assert str(everything.id) not in told
    assert f"“{everything.name}”" in reasons(world, "ivan")


def test_s05_a_preview_does_not_tell_who_failed_in_a_rollout_out_of_sight(world: Limited) -> None:
    platform, mia = system_actor(world.organization_id), world.actor("mia")
    assert world.release is not None
    release_id, own = world.release.id, (world.groups["g1"].id,)
    with tenant(world.organization_id):
        for offer in claim_deployments(platform, [world.devices["d-one"].id]):
            report = Report(offer.device_id, offer.deployment_id, 1, "failed")
            apply_reports(platform, [report])
        for failed_in in (world.rollouts["r-all"].id, uuid7()):
            asked = Target(group_ids=own, failed_in=failed_in)
            for target, excluded in ((asked, None), (Target(group_ids=own), asked)):
                page = PageRequest()
                with pytest.raises(NotFound):
                    preview_target(mia, release_id, target, excluded)
                with pytest.raises(NotFound):
                    preview_sizes(mia, release_id, target, excluded, ())
                with pytest.raises(NotFound):
                    list_excluded(mia, release_id, target, excluded, code="excluded", page=page)
                with pytest.raises(NotFound):
                    count_target_devices(mia, target, excluded)
        seen = Target(failed_in=world.rollouts["r-all"].id)
        assert preview_target(world.actor("ivan"), release_id, seen).matched == 1

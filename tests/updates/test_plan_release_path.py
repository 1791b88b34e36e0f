"""Which releases lead a device to another one."""

import io
from uuid import uuid4

import pytest

from apps.core.actors import Actor, system_actor
from apps.core.errors import NotFound
from apps.devices.services.installed import record_installed
from apps.updates.domain.compatibility import ReleaseFacts, Unreachable
from apps.updates.models import Artifact, Release
from apps.updates.selectors.fitting import plan_release_path
from apps.updates.services.artifacts import store_artifact
from apps.updates.services.recalls import recall_release
from apps.updates.services.releases import create_release
from apps.updates.types import Compatibility, NewComponent
from tests.factories import Cast


@pytest.fixture
def artifact(alice: Actor, in_acme: None) -> Artifact:
    return store_artifact(alice, name="app", file=io.BytesIO(b"app"))


def release(alice: Actor, artifact: Artifact, version: str, **fits: object) -> Release:
    """A version of the app."""
    part = NewComponent("app", "script", artifact.id)
    values = Compatibility(**fits)
    return create_release(
        alice, name="app", version=version, components=[part], compatibility=values
    )


def versions(way: tuple[ReleaseFacts, ...] | Unreachable) -> list[str]:
    """What is installed, in this order."""
    assert isinstance(way, tuple), way
    return [step.version for step in way]


def test_a_device_passes_through_a_stone_unless_it_was_recalled(
    alice: Actor, acme: Cast, artifact: Artifact
) -> None:
    record_installed(system_actor(acme.id), {acme.device.id: {"app": "1.9.0"}})
    stone = release(alice, artifact, "1.10.0", is_stepping_stone=True)
    goal = release(alice, artifact, "2.0.0")
    assert versions(plan_release_path(alice, goal.id, acme.device.id)) == ["1.10.0", "2.0.0"]
    recall_release(alice, stone.id, reason="Broken.")
    assert versions(plan_release_path(alice, goal.id, acme.device.id)) == ["2.0.0"]


def test_nothing_leads_to_a_recalled_release(alice: Actor, acme: Cast, artifact: Artifact) -> None:
    goal = release(alice, artifact, "2.0.0")
    recall_release(alice, goal.id, reason="Broken.")
    way = plan_release_path(alice, goal.id, acme.device.id)
    assert isinstance(way, Unreachable)
    assert (way.code, way.reason) == ("release_recalled", "app 2.0.0 was recalled: Broken.")


def test_what_is_missing_is_said(alice: Actor, acme: Cast, artifact: Artifact) -> None:
    goal = release(alice, artifact, "2.0.0", requires=[("base", ">=1")])
    way = plan_release_path(alice, goal.id, acme.device.id)
    assert isinstance(way, Unreachable)
    assert way.code == "nothing_provides"
    assert way.obstacles[0].message == "Needs base >=1; installed is nothing."


def test_devices_and_releases_out_of_sight_are_not_found(
    alice: Actor, acme: Cast, globex: Cast, artifact: Artifact
) -> None:
    goal = release(alice, artifact, "2.0.0")
    for release_id, device_id in (
        (uuid4(), acme.device.id),
        (goal.id, uuid4()),
        (goal.id, globex.device.id),
    ):
        with pytest.raises(NotFound):
            plan_release_path(alice, release_id, device_id)

"""Onto which devices a release fits: the query says what is said of each device."""

import io
import random

import pytest

from apps.core import clock
from apps.core.actors import Actor, system_actor
from apps.devices.models import Device
from apps.devices.services.installed import record_installed
from apps.updates.models import Artifact, Release
from apps.updates.selectors.fitting import fit_of
from apps.updates.services.artifacts import store_artifact
from apps.updates.services.releases import create_release
from apps.updates.types import Compatibility, NewComponent
from tests import factories
from tests.factories import Cast

VERSIONS = ["", "0.9", "1.0.0-rc.1", "1.0.0", "1.2", "1.10", "2.0", "odd"]
RANGES = [">=1.2", "<2.0, >=1.0", "*", "!=1.0", "=1.2.0", ">1.0.0-rc.1"]


@pytest.fixture
def artifact(alice: Actor, in_acme: None) -> Artifact:
    return store_artifact(alice, name="app", file=io.BytesIO(b"app"))


def release(
    alice: Actor, artifact: Artifact, version: str, fits: Compatibility | None = None
) -> Release:
    """A version of the app."""
    part = NewComponent("app", "script", artifact.id)
    return create_release(alice, name="app", version=version, components=[part], compatibility=fits)


def devices_of(acme: Cast) -> list[Device]:
    """All of them with their state."""
    return list(Device.objects.for_org(acme.id).select_related("state"))


@pytest.mark.parametrize("seed", range(8))
def test_the_query_finds_the_devices_that_nothing_keeps_from_it(
    alice: Actor, acme: Cast, artifact: Artifact, seed: int
) -> None:
    chance = random.Random(seed)
    devices = [*acme.devices, *(factories.device(acme.id) for _ in range(18))]
    installed = {
        device.id: {
            name: version for name in ("app", "base") if (version := chance.choice(VERSIONS))
        }
        for device in devices
    }
    record_installed(system_actor(acme.id), installed)
    for version in ("1.0.0", "1.5"):
        stone = Compatibility(is_stepping_stone=chance.random() < 0.5)
        release(alice, artifact, version, stone)
    named = f'name != "{devices[0].name}"' if chance.random() < 0.5 else ""
    fits = Compatibility(
        compatible=named,
        requires=[("base", chance.choice(RANGES))] * chance.randrange(2),
        conflicts=[("app", chance.choice(RANGES[:2]))] * chance.randrange(2),
    )
    fit = fit_of(release(alice, artifact, "2.0", fits))
    now = clock.now()
    rows = devices_of(acme)
    expected = {device.id for device in rows if not fit.obstacles(device, now)}
    found = Device.objects.for_org(acme.id).filter(fit.q(now))
    assert set(found.values_list("id", flat=True)) == expected


def test_what_a_device_fails_is_said_with_its_own_value(
    alice: Actor, acme: Cast, artifact: Artifact
) -> None:
    fit = fit_of(
        release(alice, artifact, "1", Compatibility(compatible='model = "Other" OR name = "x"'))
    )
    found = fit.obstacles(acme.device, clock.now())
    assert [(each.code, each.wanted, each.found) for each in found] == [
        ("not_compatible", 'model = "Other"', acme.device.model),
        ("not_compatible", 'name = "x"', acme.device.name),
    ]

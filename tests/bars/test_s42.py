"""S42: a device installs only what it was told itself, and what the keys' holders have signed.

Given per-device instructions, when device X is served device Y's or an older instruction, then it
refuses: device id, number and expiry are signed. The same holds for whatever else of an offer
differs from what was signed.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.agents.messages import offer_message
from apps.updates.domain.signing import canonical_json
from tests.bars.signed_devices import World, world
from tests.updates.conftest import fleet

__all__ = ["fleet", "world"]


def test_s42_a_device_takes_its_own_instruction_and_each_only_once(world: World) -> None:
    device = world.device()
    offer = world.offers(world.release())[0]
    assert device.check(offer).counter == 1
    assert device.refuses(offer) == "instruction_refused"
    assert device.check(world.offer_again()).counter == 2
    assert device.refuses(offer) == "instruction_refused"


def test_s42_the_instruction_of_another_device_is_refused(world: World) -> None:
    device = world.device()
    own, others = world.offers(world.release())[:2]
    assert device.refuses(others) == "instruction_refused"
    mixed = replace(own, instruction=others.instruction)
    assert device.refuses(mixed) == "instruction_refused"
    assert device.refuses(replace(own, deployment_id=others.deployment_id)) == "instruction_refused"


def test_s42_an_expired_instruction_is_refused_also_after_the_clock_went_back(
    world: World,
) -> None:
    device = world.device()
    old = world.offers(world.release())[0]
    later = datetime.now(UTC) + timedelta(hours=25)
    with time_machine.travel(later, tick=False):
        assert device.refuses(old) in ("instruction_refused", "metadata_refused")
    device.state.instruction_issued = f"{later:%Y-%m-%dT%H:%M:%SZ}"
    assert device.refuses(old) == "instruction_refused"


def test_s42_a_changed_or_missing_signature_is_refused(world: World) -> None:
    device = world.device()
    offer = world.offers(world.release())[0]
    signed = json.loads(offer.instruction)
    forged = json.loads(offer.instruction)
    forged["signed"]["counter"] = 99
    assert device.refuses(replace(offer, instruction=json.dumps(forged))) == "instruction_refused"
    stranger = Ed25519PrivateKey.generate()
    forged["signatures"][0]["sig"] = stranger.sign(canonical_json(forged["signed"])).hex()
    assert device.refuses(replace(offer, instruction=json.dumps(forged))) == "instruction_refused"
    for text in ("", "{", "[]", '{"signed": {}, "signatures": []}', "[" * 50_000, "\ufffd"):
        assert device.refuses(replace(offer, instruction=text)) == "instruction_refused", text[:40]
    signed["signatures"] = []
    assert device.refuses(replace(offer, instruction=json.dumps(signed))) == "instruction_refused"


def test_s42_without_a_signature_nothing_is_installed_even_if_the_platform_asks(
    world: World,
) -> None:
    device = world.device()
    offer = world.offers(world.release())[0]
    unsigned = replace(offer, instruction="", is_trial_unsigned=True)
    assert device.refuses(unsigned) == "instruction_refused"
    untold = replace(device, identity=replace(device.identity, trusted_root=""))
    assert untold.refuses(replace(unsigned, is_trial_unsigned=False)) == "instruction_refused"
    assert untold.check(unsigned).counter == 0


def test_s42_whoever_holds_the_platform_cannot_change_what_is_run(world: World) -> None:
    """With the database, storage and every online key one can make instructions, not files."""
    device = world.device()
    release = world.release()
    world.offers(release)
    for field, value in {
        "target": "/etc/shadow",
        "kind": "binary",
        "file_mode": 0o4755,
        "hooks": {"before": {"command": ["rm", "-rf", "/"], "timeout_seconds": 9}},
        "install_options": {"purge": "yes"},
        "checks": [{"name": "x", "command": {"command": ["reboot"]}}],
        "name": "other",
        "sha256": "0" * 64,
        "size_bytes": 7,
    }.items():
        assert _refused(world, device, **{field: value}), field


def _refused(world: World, device: object, **changes: object) -> bool:
    """An offer that was changed on the platform, and signed there as everything is."""
    from apps.updates.services import instructions
    from apps.updates.services.offers import offers_for_devices

    [good] = offers_for_devices(world.fleet.system, [world.fleet.device_ids[0]])
    part = replace(good.components[0], **changes)
    [bad] = instructions.instruct(world.fleet.system, [replace(good, components=(part,))])
    assert offer_message(bad).deployment_offer.instruction
    return device.refuses(world.as_received(bad)) in ("digest_mismatch", "metadata_refused")  # type: ignore[attr-defined]


def test_s42_a_release_that_nobody_signed_is_refused(world: World) -> None:
    device = world.device()
    organization = world.alice.organization_id
    from apps.organizations.models import Organization

    Organization.objects.filter(id=organization).update(settings={"updates.allow_unsigned": True})
    offer = world.offers(world.release(is_signed=False))[0]
    assert offer.is_trial_unsigned
    assert device.refuses(offer) == "metadata_refused"


@pytest.mark.parametrize("number", [0, 1])
def test_s42_numbers_are_counted_for_each_device(world: World, number: int) -> None:
    first = world.release()
    offers = world.offers(first)
    device = world.device(number)
    assert device.check(offers[number]).counter == 1

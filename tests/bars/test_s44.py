"""S44: nothing older than what runs is installed unawares.

Given version 5 installed, when a signed version 4 is assigned without the explicit, audited
approval to allow a downgrade, then the client refuses to install it; with it, the client installs.
The platform's half of this bar is tested with its rollouts.
"""

from dataclasses import replace
from typing import Any

from apps.updates.services import instructions
from apps.updates.services.offers import offers_for_devices
from tests.bars.signed_devices import World, world
from tests.updates.conftest import fleet

__all__ = ["fleet", "world"]


def test_s44_a_signed_older_version_is_refused_by_the_device(world: World) -> None:
    device = world.device()
    offer = world.offers(world.release("4.0.0"))[0]
    device.state.installed["hello"] = "5.0.0"
    assert device.refuses(offer) == "downgrade_refused"
    device.state.installed["hello"] = "3.9.9"
    device.check(offer)


def test_s44_the_permission_is_part_of_what_is_signed_for_the_device(world: World) -> None:
    device = world.device()
    offer = world.offers(world.release("4.0.0"))[0]
    device.state.installed["hello"] = "5.0.0"
    talked_into = replace(offer, instruction=offer.instruction.replace("false", "true"))
    assert device.refuses(talked_into) == "instruction_refused"
    [plain] = offers_for_devices(world.fleet.system, [world.fleet.device_ids[0]])
    allowed: Any = replace(plain, allow_downgrade=True)
    [signed] = instructions.instruct(world.fleet.system, [allowed])
    assert device.check(world.as_received(signed)).counter > 1

"""S41: the keys of an organization can change, and be lost, without losing its devices.

Given root key rotation (1-of-1, then 2-of-3, then loss of one key), when a client three root
versions behind refreshes, then it follows; a root signed only by the new key is refused.
"""

import pytest
from tuf.api.metadata import Metadata

from apps.updates.errors import SigningMetadataRefused
from apps.updates.services.signing import publish_signing_metadata
from fleetctl.sign.keys import make_key
from fleetctl.sign.metadata import renewed, sign, text_of
from tests.bars.signed_devices import World, world
from tests.bars.test_s38 import unmodified
from tests.updates.conftest import fleet

__all__ = ["fleet", "world"]


def rotate(world: World, keys: list, threshold: int, signers: list) -> Metadata:
    """The next root, with these keys, signed by those."""
    holder = world.holder
    holder.root_keys = keys
    root = holder.next_root(root_threshold=threshold)
    sign(root, signers)
    publish_signing_metadata(world.alice, roots=[text_of(root)])
    holder.roots.append(root)
    return root


def test_s41_a_device_three_roots_behind_follows(world: World) -> None:
    device, other = world.device(0), world.device(1)
    [first], (b, c, d, e) = list(world.holder.root_keys), [make_key() for _ in range(4)]
    rotate(world, [b, c, d], 2, [first, b, c])
    rotate(world, [b, c, d], 2, [b, d])  # as before, with a new end
    # d is lost: b and c still agree, and put e in its place.
    rotate(world, [b, c, e], 2, [b, c])
    rotate(world, [b, c, e], 2, [c, e, b])
    offers = world.offers(world.release("1.0.0"))
    assert device.check(offers[0]).counter == 1
    assert other.check(offers[1]).counter == 1
    unmodified(world, device.identity.trusted_root).refresh()
    kept = Metadata.from_file(str(world.folder / "tuf-0" / "root.json"))
    assert kept.signed.version == 5


def test_s41_a_root_of_the_new_key_alone_is_refused_everywhere(world: World) -> None:
    device = world.device()
    offer = world.offers(world.release("1.0.0"))[0]
    stolen = make_key()
    world.holder.root_keys = [stolen]
    root = world.holder.next_root()
    sign(root, [stolen])
    with pytest.raises(SigningMetadataRefused) as caught:
        publish_signing_metadata(world.alice, roots=[text_of(root)])
    assert caught.value.data["reason"] == "metadata_not_signed"
    world.line.files["/metadata/2.root.json"] = text_of(root).encode()
    assert device.refuses(offer) == "metadata_refused"


def test_s41_targets_keys_change_with_the_root_that_names_them(world: World) -> None:
    device = world.device()
    release = world.release("1.0.0")
    holder = world.holder
    holder.targets_keys = [make_key()]
    root, targets = holder.next_root(), renewed(holder.targets)
    sign(root, holder.root_keys)
    sign(targets, holder.targets_keys)
    publish_signing_metadata(world.alice, roots=[text_of(root)], targets=text_of(targets))
    world.line.publish(world.alice)
    device.check(world.offers(release)[0])

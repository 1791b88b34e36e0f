"""S38: an attacker on the line can stop updates, and nothing else.

Given the state of a client, when an attacker in the middle serves old timestamp, snapshot or
targets, expired metadata, a bigger file, a wrong file, endless bytes, or bytes one by one, then the
client refuses within its limits and keeps the old file. Both the agent and an unmodified python-tuf
are such clients.
"""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from fleetd_agent import trust
from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient import Updater

from apps.core import clock
from apps.core.actors import system_actor
from apps.updates.services.signing import refresh_signing
from tests.bars.signed_devices import World, world
from tests.updates.conftest import fleet

__all__ = ["fleet", "world"]

NEWEST = "/metadata/timestamp.json"


def unmodified(world: World, root: str) -> Updater:
    """python-tuf as it comes, with a disk of its own that lasts."""
    folder = world.folder / "ngclient"
    folder.mkdir(exist_ok=True)
    (folder / "files").mkdir(exist_ok=True)
    return Updater(
        str(folder),
        f"{world.line.url}/metadata/",
        target_dir=str(folder / "files"),
        target_base_url=f"{world.line.url}/targets/",
        bootstrap=root.encode(),
    )


def both_refuse(world: World, device: object, offer: object) -> None:
    """The agent says so in its report; the reference client raises."""
    assert device.refuses(offer) == "metadata_refused"  # type: ignore[attr-defined]
    with pytest.raises((RepositoryError, DownloadError)):
        unmodified(world, device.identity.trusted_root).refresh()  # type: ignore[attr-defined]


def test_s38_old_metadata_is_refused_in_every_mixture(world: World) -> None:
    device = world.device()
    old = dict(world.line.files)
    offer = world.offers(world.release("1.0.0"))[0]
    device.check(offer)
    unmodified(world, device.identity.trusted_root).refresh()
    new = dict(world.line.files)
    fresh = world.offer_again()
    world.line.files = {**new, NEWEST: old[NEWEST]}
    both_refuse(world, device, fresh)
    names = [name for name in new if name.endswith(".snapshot.json")]
    world.line.files = {**new, NEWEST: old[NEWEST], names[-1]: old[names[0]]}
    both_refuse(world, device, fresh)
    world.line.files = new
    device.check(fresh)


def test_s38_targets_of_another_time_do_not_fit_the_snapshot(world: World) -> None:
    device = world.device()
    first = dict(world.line.files)
    offer = world.offers(world.release("1.0.0"))[0]
    world.line.files["/metadata/2.targets.json"] = first["/metadata/1.targets.json"]
    both_refuse(world, device, offer)
    world.line.files["/metadata/2.targets.json"] = first["/metadata/1.snapshot.json"]
    both_refuse(world, device, offer)


def test_s38_a_frozen_repository_is_noticed_within_a_day(world: World) -> None:
    device = world.device()
    offer = world.offers(world.release("1.0.0"))[0]
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=25), tick=False):
        both_refuse(world, device, offer)


def test_s38_a_repository_that_is_signed_again_is_believed_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = world.device()
    world.offers(world.release("1.0.0"))
    later = datetime.now(UTC) + timedelta(hours=20)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert refresh_signing(system_actor(world.alice.organization_id))
    world.line.publish(world.alice)
    offer = world.offer_again()
    with time_machine.travel(later + timedelta(hours=10), tick=False):
        device.check(offer)


def test_s38_endless_bytes_are_cut_off(world: World) -> None:
    device = world.device()
    offer = world.offers(world.release("1.0.0"))[0]
    world.line.endless = {NEWEST}
    both_refuse(world, device, offer)
    assert world.line.sent < 100_000_000  # what lies in buffers of the kernel, twice


def test_s38_bytes_one_by_one_are_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = world.device()
    monkeypatch.setattr(trust, "REFRESH_SECONDS", 0.3)
    began = time.monotonic()
    world.line.dripping = {NEWEST}
    with pytest.raises(trust.Unavailable) as caught:
        device.repository.look_up(world.line.url, device.identity.trusted_root, ["a"])
    assert caught.value.reason_code == "metadata_unavailable"
    assert time.monotonic() - began < 5


def test_s38_a_wrong_or_bigger_file_is_no_target(world: World) -> None:
    device = world.device()
    offer = world.offers(world.release("1.0.0"))[0]
    client = unmodified(world, device.identity.trusted_root)
    client.refresh()
    info = client.get_targetinfo(offer.components[0].target_path)
    assert info is not None
    folder, _, name = info.path.rpartition("/")
    path = f"/targets/{folder}/{info.hashes['sha256']}.{name}"
    kept = world.folder / "kept"
    kept.write_bytes(b"old")
    for wrong in (b"echo 2.0.0\n", b"echo 1.0.0\n" + b" " * 100, b""):
        world.line.files[path] = wrong
        with pytest.raises((RepositoryError, DownloadError)):
            client.download_target(info, str(kept))
        assert kept.read_bytes() == b"old"
    world.line.files[path] = b"echo 1.0.0\n"
    assert Path(client.download_target(info, str(kept))).read_bytes() == b"echo 1.0.0\n"


def test_s38_an_offer_of_another_file_than_the_signed_one_is_refused(world: World) -> None:
    device = world.device()
    offer = world.offers(world.release("1.0.0"))[0]
    part = offer.components[0]
    for wrong in (replace(part, sha256="0" * 64), replace(part, size_bytes=part.size_bytes + 1)):
        assert device.refuses(replace(offer, components=(wrong,))) == "digest_mismatch"

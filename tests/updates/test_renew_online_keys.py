"""The platform's own keys change with a root that names new ones, and its metadata never stays
expired: an unmodified client follows."""

from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root
from tuf.ngclient import Updater

from apps.core import clock
from apps.core.actors import Actor, system_actor
from apps.core.errors import PermissionDenied
from apps.updates.errors import SigningMetadataRefused, SigningNotPrepared
from apps.updates.selectors.signing import find_trusted_root, get_signing_status
from apps.updates.services.signing import (
    prepare_signing,
    publish_signing_metadata,
    refresh_signing,
    renew_signing_keys,
)
from fleetctl.sign.metadata import make_root, sign, text_of
from tests.signing import KeyHolder, as_json
from tests.tuf_server import Line, serve

pytestmark = pytest.mark.usefixtures("in_acme")


def client(line: Line, folder: Path, root: str) -> Updater:
    """python-tuf as it comes, with what it knew before in `folder`."""
    folder.mkdir(exist_ok=True)
    return Updater(
        metadata_dir=str(folder),
        metadata_base_url=f"{line.url}/metadata/",
        target_dir=str(folder),
        target_base_url=f"{line.url}/targets/",
        bootstrap=root.encode(),
    )


def next_root(holder: KeyHolder, *, is_new: bool) -> Metadata[Root]:
    """The next root, for the platform's next keys or its present ones, signed."""
    status = renew_signing_keys(holder.actor) if is_new else get_signing_status(holder.actor)
    said = as_json(status)
    if is_new:
        assert status.next_online is not None
        said["snapshot_key"]["public_key"] = status.next_online.snapshot
        said["timestamp_key"]["public_key"] = status.next_online.timestamp
    root = make_root(said, holder.signers(), version=holder.roots[-1].signed.version + 1)
    sign(root, holder.root_keys)
    return root


def test_an_unmodified_client_follows_to_the_new_keys(alice: Actor, tmp_path: Path) -> None:
    holder = KeyHolder(alice).begin()
    first = get_signing_status(alice).online
    root = find_trusted_root(alice.organization_id)
    with serve() as line:
        line.publish(alice)
        client(line, tmp_path / "tuf", root).refresh()
        fresh = next_root(holder, is_new=True)
        publish_signing_metadata(alice, roots=[text_of(fresh)])
        line.publish(alice)
        client(line, tmp_path / "tuf", root).refresh()
        client(line, tmp_path / "new", root).refresh()
    now = get_signing_status(alice)
    assert now.next_online is None
    assert now.online is not None
    assert first is not None
    assert {now.online.snapshot, now.online.timestamp}.isdisjoint(first.all())
    assert now.online.instruction == first.instruction


def test_what_the_old_keys_sign_afterwards_is_refused(alice: Actor, tmp_path: Path) -> None:
    holder = KeyHolder(alice).begin()
    root = find_trusted_root(alice.organization_id)
    with serve() as line:
        old = line.publish(alice)
        fresh = next_root(holder, is_new=True)
        publish_signing_metadata(alice, roots=[text_of(fresh)])
        line.publish(alice)
        line.files["/metadata/timestamp.json"] = old["/metadata/timestamp.json"]
        with pytest.raises(Exception, match="timestamp was signed by 0/1 keys"):
            client(line, tmp_path / "tuf", root).refresh()


def test_the_present_keys_go_on_until_a_root_names_the_next_ones(alice: Actor) -> None:
    holder = KeyHolder(alice).begin()
    before = get_signing_status(alice).online
    once, again = renew_signing_keys(alice), renew_signing_keys(alice)
    assert once.next_online == again.next_online
    publish_signing_metadata(alice, roots=[text_of(next_root(holder, is_new=False))])
    assert get_signing_status(alice).online == before
    assert get_signing_status(alice).next_online == once.next_online


def test_a_root_that_names_one_new_and_one_old_key_is_refused(alice: Actor) -> None:
    holder = KeyHolder(alice).begin()
    status = renew_signing_keys(alice)
    said = as_json(status)
    assert status.next_online is not None
    said["snapshot_key"]["public_key"] = status.next_online.snapshot
    root = make_root(said, holder.signers(), version=2)
    sign(root, holder.root_keys)
    with pytest.raises(SigningMetadataRefused) as refused:
        publish_signing_metadata(alice, roots=[text_of(root)])
    assert refused.value.data["reason"] == "root_wrong_online_keys"


def test_there_is_nothing_to_renew_before_the_first_root(alice: Actor, bob: Actor) -> None:
    with pytest.raises(SigningNotPrepared):
        renew_signing_keys(alice)
    prepare_signing(alice)
    with pytest.raises(SigningNotPrepared):
        renew_signing_keys(alice)
    with pytest.raises(PermissionDenied):
        renew_signing_keys(bob)


def test_metadata_that_ended_while_the_platform_was_off_is_signed_again(
    alice: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = clock.now() - timedelta(days=10)
    with monkeypatch.context() as past:
        past.setattr(clock, "now", lambda: long_ago)
        KeyHolder(alice).begin()
    root = find_trusted_root(alice.organization_id)
    with serve() as line:
        line.publish(alice)
        with pytest.raises(Exception, match="expired"):
            client(line, tmp_path / "tuf", root).refresh()
        assert refresh_signing(system_actor(alice.organization_id))
        line.publish(alice)
        client(line, tmp_path / "tuf", root).refresh()
    assert not refresh_signing(system_actor(alice.organization_id))

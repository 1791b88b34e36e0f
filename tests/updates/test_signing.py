"""An organization's TUF repository: what is taken, what is refused, and what the platform signs."""

import json
from datetime import timedelta

import pytest
from tuf.api.metadata import Metadata

from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Actor, system_actor
from apps.core.errors import PermissionDenied
from apps.organizations.services.settings import update_organization_settings
from apps.updates.errors import ReleaseNotSigned, SigningMetadataRefused, SigningNotPrepared
from apps.updates.models import SigningMetadata, SigningRole
from apps.updates.selectors.signing import (
    find_latest,
    find_metadata,
    find_trusted_root,
    get_signing_status,
)
from apps.updates.services.rollouts import start_rollout
from apps.updates.services.signing import (
    prepare_signing,
    publish_signing_metadata,
    refresh_signing,
    require_signed,
)
from fleetctl.sign.keys import make_key
from fleetctl.sign.metadata import renewed, sign, text_of
from tests.signing import KeyHolder
from tests.updates.conftest import make_release, make_rollout

pytestmark = pytest.mark.usefixtures("in_acme")


def refused(holder: KeyHolder, **sent: object) -> str:
    """Why an upload is refused; nothing of it is stored."""
    rows = SigningMetadata.objects.for_org(holder.actor.organization_id)
    before = set(rows.values_list("id", flat=True))
    with pytest.raises(SigningMetadataRefused) as caught:
        publish_signing_metadata(holder.actor, **sent)
    assert set(rows.values_list("id", flat=True)) == before
    return str(caught.value.data["reason"])


def test_a_ceremony_makes_a_repository_that_devices_are_told_to_trust(alice: Actor) -> None:
    assert find_trusted_root(alice.organization_id) == ""
    holder = KeyHolder(alice).begin()
    status = get_signing_status(alice)
    assert [(r.role, r.version) for r in status.roles] == [
        ("root", 1), ("targets", 1), ("snapshot", 1), ("timestamp", 1),
    ]  # fmt: skip
    assert find_trusted_root(alice.organization_id) == text_of(holder.roots[0])
    actions = AuditEntry.objects.for_org(alice.organization_id).values_list("action", flat=True)
    assert {"updates.prepare_signing", "updates.publish_signing_metadata"} <= set(actions)


def test_publishing_again_changes_nothing(alice: Actor) -> None:
    holder = KeyHolder(alice).begin()
    sent = {"roots": [text_of(holder.roots[0])], "targets": text_of(holder.targets)}
    publish_signing_metadata(alice, **sent)
    assert SigningMetadata.objects.for_org(alice.organization_id).count() == 4


def test_a_release_that_nobody_signed_is_not_rolled_out(alice: Actor) -> None:
    holder = KeyHolder(alice).begin()
    release = make_release(alice)
    rollout = make_rollout(alice, release)
    require_signed(alice, release.id)
    update_organization_settings(alice, {"updates.allow_unsigned": False})
    with pytest.raises(ReleaseNotSigned):
        start_rollout(alice, rollout.id)
    holder.sign_release(release)
    assert start_rollout(alice, rollout.id).state == "running"


def test_a_release_counts_as_signed_once_all_of_it_is(alice: Actor) -> None:
    holder = KeyHolder(alice).begin()
    release = make_release(alice)
    update_organization_settings(alice, {"updates.allow_unsigned": False})
    with pytest.raises(ReleaseNotSigned):
        require_signed(alice, release.id)
    assert get_signing_status(alice).unsigned_releases == 1
    holder.sign_release(release)
    require_signed(alice, release.id)
    assert get_signing_status(alice).unsigned_releases == 0


def test_nothing_is_published_before_the_platform_has_keys(alice: Actor) -> None:
    with pytest.raises(SigningNotPrepared):
        publish_signing_metadata(alice, targets="{}")


def test_those_who_may_only_look_publish_nothing(alice: Actor, bob: Actor) -> None:
    with pytest.raises(PermissionDenied):
        prepare_signing(bob)
    with pytest.raises(PermissionDenied):
        publish_signing_metadata(bob, targets="{}")
    with pytest.raises(PermissionDenied):
        refresh_signing(alice)


def test_targets_of_another_key_a_gap_a_rollback_and_an_end_are_refused(alice: Actor) -> None:
    holder = KeyHolder(alice).begin()
    forged = renewed(holder.targets)
    sign(forged, [make_key()])
    assert refused(holder, targets=text_of(forged)) == "metadata_not_signed"
    gap = renewed(renewed(holder.targets))
    sign(gap, holder.targets_keys)
    assert refused(holder, targets=text_of(gap)) == "metadata_version_gap"
    old = renewed(holder.targets)
    old.signed.expires = clock.now().replace(microsecond=0) - timedelta(days=1)
    sign(old, holder.targets_keys)
    assert refused(holder, targets=text_of(old)) == "metadata_expired"
    holder.sign_release(make_release(alice))
    back = renewed(holder.targets)
    back.signed.version = 1
    sign(back, holder.targets_keys)
    assert refused(holder, targets=text_of(back)) == "metadata_rolled_back"


def test_what_is_not_plain_targets_metadata_is_refused(alice: Actor) -> None:
    holder = KeyHolder(alice).begin()
    good = json.loads(text_of(renewed(holder.targets)))
    role = {
        "name": "../../x", "keyids": [], "threshold": 1, "terminating": True, "paths": ["*"],
    }  # fmt: skip
    good["signed"]["delegations"] = {"keys": {}, "roles": [role]}
    assert refused(holder, targets=json.dumps(good)) == "delegations_refused"
    good["signed"].pop("delegations")
    file = {"length": 1, "hashes": {"sha256": "0" * 64}}
    for path in ("../up", "/etc/passwd", "a//b", "a/./b", "a\\b", "", "a b", "ä"):
        good["signed"]["targets"] = {path: file}
        assert refused(holder, targets=json.dumps(good)) == "target_path_refused", path
    good["signed"]["targets"] = {"a": {"length": 1, "hashes": {"md5": "0" * 32}}}
    assert refused(holder, targets=json.dumps(good)) == "target_refused"
    good["signed"]["targets"] = {}
    good["signed"]["spec_version"] = "2.0.0"
    assert refused(holder, targets=json.dumps(good)) == "metadata_unreadable"
    assert refused(holder, targets="[" * 100_000) == "metadata_unreadable"
    assert refused(holder, targets="x" * 1_500_001) == "metadata_too_large"
    assert refused(holder, targets=text_of(holder.roots[0])) == "metadata_wrong_role"
    assert refused(holder, targets='{"a": "-----BEGIN PRIVATE KEY-----"}') == "private_key_sent"


def test_a_root_that_trusts_the_platform_or_leaves_its_keys_out_is_refused(alice: Actor) -> None:
    holder = KeyHolder(alice).begin()

    def why(change: object) -> str:
        root = holder.next_root()
        change(root.signed)  # type: ignore[operator]
        sign(root, holder.root_keys)
        return refused(holder, roots=[text_of(root)])

    def trust_platform(root: object) -> None:
        root.roles["targets"].keyids.append(root.roles["snapshot"].keyids[0])

    def another_timestamp(root: object) -> None:
        root.add_key(make_key().public, "timestamp")

    def another_organization(root: object) -> None:
        root.unrecognized_fields["x-fleetd"]["organization_id"] = "somebody"

    def unreachable(root: object) -> None:
        root.roles["targets"].threshold = 2

    def in_place(root: object) -> None:
        root.consistent_snapshot = False

    assert why(trust_platform) == "root_trusts_platform"
    assert why(another_timestamp) == "root_wrong_online_keys"
    assert why(another_organization) == "root_unsuitable"
    assert why(unreachable) == "root_unsuitable"
    assert why(in_place) == "root_unsuitable"


def test_a_root_is_signed_by_the_keys_before_and_its_own(alice: Actor) -> None:
    holder = KeyHolder(alice).begin()
    old_keys = list(holder.root_keys)
    holder.root_keys = [make_key(), make_key(), make_key()]
    root = holder.next_root(root_threshold=2)
    sign(root, holder.root_keys)
    assert refused(holder, roots=[text_of(root)]) == "metadata_not_signed"
    root.signatures.clear()
    sign(root, [*old_keys, holder.root_keys[0]])
    assert refused(holder, roots=[text_of(root)]) == "metadata_not_signed"
    sign(root, [holder.root_keys[2]])
    publish_signing_metadata(alice, roots=[text_of(root)])
    assert get_signing_status(alice).roles[0].threshold == 2


def test_a_root_that_changes_who_signs_targets_comes_with_new_targets(alice: Actor) -> None:
    holder = KeyHolder(alice).begin()
    holder.targets_keys = [make_key()]
    root = holder.next_root()
    sign(root, holder.root_keys)
    assert refused(holder, roots=[text_of(root)]) == "targets_not_signed_by_new_root"
    targets = renewed(holder.targets)
    sign(targets, holder.targets_keys)
    publish_signing_metadata(alice, roots=[text_of(root)], targets=text_of(targets))
    assert get_signing_status(alice).roles[1].version == 2


def test_the_platform_signs_again_in_good_time(
    alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    KeyHolder(alice).begin()
    worker, now = system_actor(alice.organization_id), clock.now()
    assert not refresh_signing(worker)
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(hours=7))
    assert refresh_signing(worker)
    assert not refresh_signing(worker)
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(days=4))
    assert refresh_signing(worker)
    status = {r.role: r for r in get_signing_status(alice).roles}
    assert (status["timestamp"].version, status["snapshot"].version) == (3, 2)
    assert status["timestamp"].expires_at > now + timedelta(days=4, hours=23)


def test_old_versions_are_forgotten_but_never_a_root(
    alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = KeyHolder(alice).begin()
    now = clock.now()
    for step in range(1, 20):
        monkeypatch.setattr(clock, "now", lambda n=step: now + timedelta(hours=7 * n))
        refresh_signing(system_actor(alice.organization_id))
    rows = SigningMetadata.objects.for_org(alice.organization_id)
    assert rows.filter(role=SigningRole.TIMESTAMP).count() == 16
    assert find_metadata(alice.organization_id, "root", 1) == text_of(holder.roots[0])
    latest = find_latest(alice.organization_id, SigningRole.TIMESTAMP)
    assert latest is not None
    Metadata.from_bytes(latest.content.encode())

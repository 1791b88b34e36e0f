"""A key holder for tests: what `fleetctl sign` does on the customer's machine, without files."""

from dataclasses import dataclass, field
from typing import Any

import orjson
from tuf.api.metadata import Metadata, Root, Targets

from apps.core.actors import Actor
from apps.updates.domain.signing import key_id
from apps.updates.models import Release
from apps.updates.selectors.signing import SigningStatus, get_release_targets
from apps.updates.services.signing import prepare_signing, publish_signing_metadata
from fleetctl.sign.keys import OfflineKey, make_key
from fleetctl.sign.metadata import (
    Signers,
    make_root,
    make_targets,
    renewed,
    sign,
    text_of,
    with_release,
)


def public(key: OfflineKey) -> str:
    """A key's public half."""
    return str(key.public.keyval["public"])


def as_json(status: SigningStatus) -> dict[str, Any]:
    """The part of the status that a ceremony needs, as REST shows it."""
    assert status.online is not None
    keys = {
        f"{name}_key": {"id": key_id(value), "public_key": value}
        for name in ("snapshot", "timestamp", "instruction")
        if (value := getattr(status.online, name))
    }
    return {"organization_id": str(status.organization_id), **keys}


@dataclass
class KeyHolder:
    """Holds root and targets keys, one each at first."""

    actor: Actor
    root_keys: list[OfflineKey] = field(default_factory=lambda: [make_key()])
    targets_keys: list[OfflineKey] = field(default_factory=lambda: [make_key()])
    roots: list[Metadata[Root]] = field(default_factory=list)
    targets: Metadata[Targets] = field(default_factory=make_targets)

    def begin(self) -> "KeyHolder":
        """The ceremony: root 1 and empty targets."""
        status = prepare_signing(self.actor)
        root = make_root(as_json(status), self.signers())
        sign(root, self.root_keys)
        sign(self.targets, self.targets_keys)
        self.roots.append(root)
        publish_signing_metadata(self.actor, roots=[text_of(root)], targets=text_of(self.targets))
        return self

    def signers(self, root_threshold: int = 1) -> dict[str, Signers]:
        """Who signs what."""
        return {
            "root": Signers([public(k) for k in self.root_keys], root_threshold),
            "targets": Signers([public(k) for k in self.targets_keys]),
        }

    def next_root(self, root_threshold: int = 1) -> Metadata[Root]:
        """The next root for the keys that are held now, unsigned."""
        status = as_json(prepare_signing(self.actor))
        version = self.roots[-1].signed.version + 1
        return make_root(status, self.signers(root_threshold), version=version)

    def next_targets(self, *releases: Release) -> Metadata[Targets]:
        """The next targets, with these releases, unsigned."""
        fresh = renewed(self.targets)
        for release in releases:
            fresh = with_release(fresh, wanted(self.actor, release))
        fresh.signed.version = self.targets.signed.version + 1
        return fresh

    def sign_release(self, *releases: Release) -> None:
        """Signs and publishes."""
        fresh = self.next_targets(*releases)
        sign(fresh, self.targets_keys)
        publish_signing_metadata(self.actor, targets=text_of(fresh))
        self.targets = fresh


def wanted(actor: Actor, release: Release) -> dict[str, Any]:
    """What the server wants signed, as REST shows it."""
    _, targets = get_release_targets(actor, release.id)
    names = ("path", "sha256", "length", "component", "position", "count", "description")
    return {
        "release_name": release.name,
        "release_version": release.version,
        "targets": [
            orjson.loads(orjson.dumps({name: getattr(t, name) for name in names})) for t in targets
        ],
    }

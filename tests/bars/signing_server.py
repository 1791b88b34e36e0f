"""A web process, and a key holder who talks to it with `fleetctl sign` as anybody would."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tuf.ngclient import Updater

from apps.core.actors import Actor, Source, system_actor
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.updates.services.offers import claim_deployments
from apps.updates.services.rollouts import start_rollout
from apps.updates.services.target_links import make_targets_url
from apps.updates.types import Offer
from fleetctl.cli import main
from tests import factories
from tests.factories import Cast
from tests.updates.conftest import make_release, make_rollout
from tests.web_server import WebServer

PASSPHRASE = "a passphrase of some length"
CONTENT = b"echo hello\n" * 1000


@dataclass
class Customer:
    """Acme's owner at a terminal, with a folder of keys."""

    acme: Cast
    alice: Actor
    key: str
    server: WebServer
    folder: Path

    def sign(self, *arguments: str) -> int:
        """One `fleetctl sign`."""
        verb, *rest = arguments
        return main(["sign", verb, "--server", self.server.url, "--keys", str(self.keys), *rest])

    @property
    def keys(self) -> Path:
        """Where the keys are."""
        return self.folder / "keys"

    def offer(self, version: str = "1.0.0") -> Offer:
        """What the first device is offered of a release of that version."""
        with tenant(self.acme.id):
            release = make_release(self.alice, version, CONTENT + version.encode())
        assert self.sign("release", "hello", version, "--yes") == 0
        with tenant(self.acme.id):
            start_rollout(self.alice, make_rollout(self.alice, release).id)
            gateway = system_actor(self.acme.id, source=Source.AGENT)
            [offer] = claim_deployments(gateway, [self.acme.device.id])
        return offer

    def here(self, url: str) -> str:
        """An address of the platform as this server has it."""
        return re.sub(r"^https?://[^/]+", self.server.url, url)

    def client(self, root: bytes, base: str, targets: str, **more: Any) -> Updater:
        """python-tuf as it comes, on a fresh disk."""
        folder = self.folder / f"client-{len(list(self.folder.iterdir()))}"
        (folder / "files").mkdir(parents=True)
        return Updater(
            str(folder),
            base,
            target_dir=str(folder / "files"),
            target_base_url=targets,
            bootstrap=root,
            **more,
        )

    def targets_url(self, offer: Offer) -> str:
        """The base address of a deployment's files."""
        gateway = system_actor(self.acme.id, source=Source.AGENT)
        return self.here(make_targets_url(gateway, offer.deployment_id))


@pytest.fixture
def customer(
    transactional_db: None,
    acme: Cast,
    alice: Actor,
    alice_member: Membership,
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Customer]:
    """A platform that runs, and nothing signed yet."""
    storage = f"file://{tmp_path / 'artifacts'}"
    settings.STORAGE_URL = storage
    key = factories.api_key(alice_member)
    monkeypatch.setenv("FLEETD_TOKEN", key)
    monkeypatch.setenv("FLEETD_SIGNING_PASSPHRASE", PASSPHRASE)
    with WebServer(tmp_path / "web.log", FLEETD_STORAGE_URL=storage) as server:
        yield Customer(acme, alice, key, server, tmp_path)

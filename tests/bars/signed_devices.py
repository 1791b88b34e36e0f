"""Devices that were told a root, a signed release for them, and what an attacker holds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fleetd_agent.downloads import build_opener
from fleetd_agent.identity import Identity
from fleetd_agent.journal import State
from fleetd_agent.messages import Offer
from fleetd_agent.trust import Refused, Repository, Verified, check_offer
from fleetd_agent.wire import offer_from_pb

from apps.agents.messages import offer_message
from apps.core.actors import Actor
from apps.updates.models import Release
from apps.updates.selectors.signing import find_trusted_root
from apps.updates.services.offers import claim_deployments, offer_for_device
from apps.updates.services.rollouts import start_rollout
from tests.factories import Cast
from tests.signing import KeyHolder
from tests.tuf_server import Line, serve
from tests.updates.conftest import Fleet, make_release, make_rollout


@dataclass
class Device:
    """One device of acme as its agent judges offers, with its disk below `folder`."""

    identity: Identity
    repository: Repository
    state: State

    def check(self, offer: Offer) -> Verified:
        """What the agent makes of an offer; remembers what it believed."""
        now = datetime.now(UTC)
        verified = check_offer(offer, self.state, self.identity, self.repository, now)
        self.state.instruction_counter = verified.counter
        self.state.instruction_issued = verified.issued
        return verified

    def refuses(self, offer: Offer) -> str:
        """The reason for which the agent refuses; it remembers nothing of the offer."""
        before = replace(self.state)
        with pytest.raises(Refused) as caught:
            self.check(offer)
        assert self.state == before
        return caught.value.reason_code


@dataclass
class World:
    """Acme with keys of its own, a line to its repository, and what devices are offered."""

    fleet: Fleet
    holder: KeyHolder
    line: Line
    folder: Path

    @property
    def alice(self) -> Actor:
        """The owner."""
        return self.fleet.alice

    def device(self, number: int = 0) -> Device:
        """A device that was told the newest root when it joined, and knows nothing else."""
        device_id = self.fleet.device_ids[number]
        identity = Identity(
            server=self.line.url,
            device_id=str(device_id),
            organization_id=str(self.alice.organization_id),
            agent_address="",
            root_pem="",
            chain_pem="",
            key_pem="",
            trusted_root=find_trusted_root(self.alice.organization_id),
        )
        repository = Repository(self.folder / f"tuf-{number}", build_opener())
        return Device(identity, repository, State())

    def release(self, version: str = "1.0.0", *, is_signed: bool = True) -> Release:
        """A release of one script, signed by the key holder, and published."""
        release = make_release(self.alice, version, f"echo {version}\n".encode())
        if is_signed:
            self.holder.sign_release(release)
        self.line.publish(self.alice)
        return release

    def offers(self, release: Release) -> list[Offer]:
        """What every device is offered, as it comes over the wire."""
        start_rollout(self.alice, make_rollout(self.alice, release, name=release.version).id)
        made = claim_deployments(self.fleet.system, self.fleet.device_ids)
        by_device = {offer.device_id: offer for offer in made}
        return [self.as_received(by_device[each]) for each in self.fleet.device_ids]

    def offer_again(self, number: int = 0) -> Offer:
        """The same deployment once more, with an instruction of its own."""
        again: Any = offer_for_device(self.fleet.system, self.fleet.device_ids[number])
        return self.as_received(again)

    def as_received(self, offer: Any) -> Offer:
        """As the agent reads it; the repository is at the end of the attacker's line."""
        message = offer_message(replace(offer, repository_url=self.line.url))
        return offer_from_pb(message.deployment_offer)


@pytest.fixture
def world(acme: Cast, fleet: Fleet, tmp_path: Path, settings: Any) -> Iterator[World]:
    """A ceremony was held; releases are stored in a folder of the test."""
    settings.STORAGE_URL = f"file://{tmp_path / 'artifacts'}"
    holder = KeyHolder(fleet.alice).begin()
    with serve() as line:
        line.publish(fleet.alice)
        yield World(fleet, holder, line, tmp_path)

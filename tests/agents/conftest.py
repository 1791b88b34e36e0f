"""A gateway in this process, and machines of acme and globex."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from apps.agents.options import Options
from fleetd.rpc import server
from fleetd.settings.env import Address
from tests import factories
from tests.agents.harness import Machine, machine
from tests.factories import Cast

FAST = Options(
    heartbeat_seconds=1,
    hello_seconds=0.5,
    flush_seconds=0.05,
    hint_seconds=0.1,
    claim_seconds=0.5,
    recheck_seconds=0.3,
    close_linger_seconds=0.02,
    drain_seconds=2.0,
)


@pytest.fixture
def first(transactional_db: None, acme: Cast) -> Machine:
    """Acme's first device."""
    return machine(acme.devices[0])


@pytest.fixture
def second(transactional_db: None, acme: Cast) -> Machine:
    """Acme's second device."""
    return machine(acme.devices[1])


@pytest.fixture
def foreign(transactional_db: None, globex: Cast) -> Machine:
    """A device of globex."""
    return machine(globex.devices[0])


@pytest.fixture
def fleet(transactional_db: None, acme: Cast) -> list[Machine]:
    """Twenty machines of acme."""
    return [machine(factories.device(acme.id)) for _ in range(20)]


@pytest.fixture
def options() -> Options:
    """Numbers for impatient tests; a test overrides single ones with `with_options`."""
    return FAST


def with_options(**changes: Any) -> Options:
    """The impatient numbers with some changed."""
    return dataclasses.replace(FAST, **changes)


@pytest.fixture
async def gateway(
    transactional_db: None, first: Machine, settings: Any, options: Options
) -> AsyncIterator[server.Servers]:
    """A gateway on ports of its own."""
    settings.AGENT_LISTEN = settings.GRPC_LISTEN = Address("127.0.0.1", 0)
    servers = await server.start(options)
    yield servers
    await server.stop(servers)

"""Fixtures of the agent's tests. They need no platform and no database."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.agent.peer import Device, Peer
from tests.agent.support import FileServer


@pytest.fixture
def files() -> Iterator[FileServer]:
    """A file server of the test's own."""
    server = FileServer()
    yield server
    server.close()


@pytest.fixture
async def peer(files: FileServer) -> AsyncIterator[Peer]:
    """A platform in miniature."""
    platform = Peer(files)
    await platform.start()
    yield platform
    await platform.stop()


@pytest.fixture
def device(tmp_path: Path, files: FileServer) -> Device:
    """A machine without an agent's state yet."""
    return Device(tmp_path, files.url)

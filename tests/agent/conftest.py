"""Fixtures of the agent's tests. They need no platform and no database."""

from collections.abc import Iterator

import pytest

from tests.agent.support import FileServer


@pytest.fixture
def files() -> Iterator[FileServer]:
    """A file server of the test's own."""
    server = FileServer()
    yield server
    server.close()

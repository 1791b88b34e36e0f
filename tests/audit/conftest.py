"""Doors and sockets of other suites, and what the request log says."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.rest.conftest import api, api_of  # noqa: F401
from tests.rpc.conftest import _no_remembered_keys, doors  # noqa: F401
from tests.web.conftest import cookie_of, socket_of  # noqa: F401

Calls = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def calls(caplog: pytest.LogCaptureFixture) -> Calls:
    """The lines of the request log so far, as their fields."""
    caplog.set_level(logging.INFO, "fleetd.calls")

    def read() -> list[dict[str, Any]]:
        messages = [r.msg for r in caplog.records if r.name == "fleetd.calls"]
        return [m for m in messages if isinstance(m, dict) and m["event"] == "call"]

    return read

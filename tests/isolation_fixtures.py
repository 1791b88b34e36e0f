"""Two full organizations in the test database, for planting leaks between them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from apps.core import rpc
from fleetd.isolation.report import DoorReport
from fleetd.isolation.world import World, build_world
from fleetd.prepare import prepare_content


@pytest.fixture
def report() -> DoorReport:
    """What the walk of one test finds."""
    return DoorReport("planted")


@pytest.fixture
def world(transactional_db: None, redis_url: str, settings: Any, tmp_path: Path) -> World:
    """Ours and theirs, made as the shipped check makes them."""
    settings.STORAGE_URL = f"file://{tmp_path}"
    for name in ("ADDRESS", "UNAUTHENTICATED", "USER", "API_KEY", "ORGANIZATION", "SOCKETS"):
        if hasattr(settings, f"LIMIT_{name}"):
            setattr(settings, f"LIMIT_{name}", 0)
    prepare_content()
    return build_world()


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """RPCs work in one thread, so that what they do can be taken back."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(1)
    monkeypatch.setattr(rpc, "_threads", lambda: pool)
    yield
    pool.submit(connections.close_all).result()
    pool.shutdown()

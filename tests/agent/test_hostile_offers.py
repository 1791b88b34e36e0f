"""Offers that somebody made who holds the platform, or who means no good with a release."""

import asyncio
from pathlib import Path

import pytest
from fleetd_agent.engine import Engine
from fleetd_agent.messages import Offer

from tests.agent.support import FileServer, component, engine_on, offer_of


def files_outside(folder: Path, state: Path) -> list[str]:
    """What lies below `folder` beside the agent's own things."""
    found = (path for path in folder.rglob("*") if state not in path.parents and path != state)
    return [str(path.relative_to(folder)) for path in found]


async def finished(engine: Engine, offer: Offer, work: asyncio.Task[None]) -> str:
    """How a deployment ends, while the engine lives."""
    async with asyncio.timeout(20):
        while offer.deployment_id not in engine.state.finished:
            assert not work.done(), work
            await asyncio.sleep(0.003)
    return engine.state.finished[offer.deployment_id].step


NAMES = ("../../etc/logrotate.d", "/", ".", "..", "a/b", "a\0b", "", "kept")


@pytest.mark.parametrize("name", NAMES)
async def test_an_id_that_is_no_plain_name_writes_nothing_anywhere(
    tmp_path: Path, files: FileServer, name: str
) -> None:
    """What comes is on the disk before its digest can be known."""
    state = tmp_path / "state"
    engine = engine_on(state)
    part = component(files, b"x" * 100, target=str(tmp_path / "target"))
    files.behaviour.replace[part.sha256] = b"/var/log/x { prerotate reboot }"
    bad = offer_of(part, deployment_id=str(tmp_path / "etc") if name == "/" else name)
    plain = offer_of(component(files, b"good", target=str(tmp_path / "good")))
    engine.offer(bad)
    work = asyncio.create_task(engine.run())
    await asyncio.sleep(0)  # takes it, where it does
    engine.offer(plain)
    await finished(engine, plain, work)
    assert files_outside(tmp_path, state) == ["good"]
    assert [path for path, _ in files.behaviour.requests if part.sha256 in path] == []
    engine.stop()
    await work


@pytest.mark.parametrize("target", ["/tmp/" + 300 * "a", "/tmp/" + 2040 * "b/" + "c"])
async def test_a_target_that_the_file_system_refuses_fails_its_own_deployment_alone(
    tmp_path: Path, files: FileServer, target: str
) -> None:
    engine = engine_on(tmp_path / "state")
    work = asyncio.create_task(engine.run())
    bad = offer_of(component(files, b"x", target=target))
    engine.offer(bad)
    assert await finished(engine, bad, work) == "failed"
    engine.stop()
    await work

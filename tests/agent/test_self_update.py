"""The agent replaces itself, and comes back as the old one when the new one does not work.

All agents here are real processes; the new versions are wheels made from this source.
"""

import zipfile
from pathlib import Path

import pytest
from fleetd_agent import __version__, launcher, package
from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb

from tests.agent.peer import Device, Peer, until
from tests.agent.test_deploy import FAILED, ROLLED_BACK, SUCCEEDED, at_work

NEW = "9.9.9"


def wheel(folder: Path, *, broken: str = "") -> bytes:
    """A new version of the agent, with a fault at its start where asked for."""
    plain, changed = folder / "plain.whl", folder / "changed.whl"
    package.build(plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(changed, "w") as target:
        for item in source.infolist():
            content = source.read(item)
            if item.filename == "fleetd_agent/__init__.py":
                content = content.replace(__version__.encode(), NEW.encode())
            if item.filename == "fleetd_agent/agent.py":
                content = content.replace(b"class Agent:", broken.encode() + b"\nclass Agent:")
            target.writestr(item, content)
    return changed.read_bytes()


async def test_a_new_version_takes_over_and_stays(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    target = {"target": "fleetd-agent", "version": NEW}
    agent = peer.component("agent", "firmware", wheel(tmp_path), **target)
    async with at_work(peer, device) as stream:
        assert stream.hello.agent_version == __version__
        await peer.offer(stream, agent)
        end = await peer.terminal()
        assert end.step == SUCCEEDED, end
        assert peer.streams[-1].hello.agent_version == NEW
        await until(lambda: not (device.state / "slots/fleetd-agent/trial.json").exists())
        # The next update goes to the other slot.
        peer.deployment = peer.deployment[:-12] + "000000000002"
        peer.streams[-1].received.clear()
        await peer.offer(peer.streams[-1], agent)
        await until(lambda: [r for r in peer.reports() if r.deployment_id == peer.deployment])
    async with at_work(peer, device) as stream:  # also after a kill of everything
        assert stream.hello.agent_version == NEW


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("raise SystemExit('this agent needs a library that is not here')", "exit code 1"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
        ("import time; time.sleep(600)", "did not come up within 3 s"),
    ],
)
async def test_a_new_version_that_does_not_come_up_is_rolled_back_and_reported(
    peer: Peer, device: Device, tmp_path: Path, broken: str, why: str
) -> None:
    device.environment["FLEETD_AGENT_TRIAL_SECONDS"] = "3"
    target = {"target": "fleetd-agent", "version": NEW}
    agent = peer.component("agent", "firmware", wheel(tmp_path, broken=broken), **target)
    async with at_work(peer, device) as stream:
        await peer.offer(stream, agent)
        end = await peer.terminal()
        assert (end.step, end.reason_code) == (ROLLED_BACK, "agent_rolled_back")
        assert why in end.message
        if "library" in broken:
            assert "needs a library" in end.log_tail
        assert peer.streams[-1].hello.agent_version == __version__
    assert not (device.state / "slots/fleetd-agent/active").exists()


async def test_a_new_version_that_fails_its_checks_gives_way_to_the_old_one(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    verify = pb.Hook(command=["/bin/false"])
    target = {"target": "fleetd-agent", "version": NEW}
    agent = peer.component("agent", "firmware", wheel(tmp_path), verify=verify, **target)
    async with at_work(peer, device) as stream:
        await peer.offer(stream, agent)
        end = await peer.terminal()
        assert (end.step, end.reason_code) == (ROLLED_BACK, "verify_failed")
        await until(lambda: peer.streams[-1].hello.agent_version == __version__)


async def test_a_file_that_is_no_agent_is_refused(peer: Peer, device: Device) -> None:
    agent = peer.component("agent", "firmware", b"#!/bin/sh\n", target="fleetd-agent")
    async with at_work(peer, device) as stream:
        await peer.offer(stream, agent)
        end = await peer.terminal()
    assert (end.step, end.reason_code) == (FAILED, "package_refused")


async def test_the_launcher_ends_with_its_agent(peer: Peer, device: Device, tmp_path: Path) -> None:
    target = {"target": "fleetd-agent", "version": NEW}
    agent = peer.component("agent", "firmware", wheel(tmp_path), **target)
    device.adopt(peer.identity(device.server))
    async with device.running() as process:
        stream = await peer.stream()
        await peer.offer(stream, agent)
        await peer.terminal()
        process.terminate()
        assert await process.wait() == 0
        await until(lambda: peer.streams[-1].of("goodbye"))


def test_an_agent_that_is_installed_by_hand_takes_the_place_of_an_earlier_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = tmp_path / "slots/fleetd-agent"
    slot.mkdir(parents=True)
    (slot / "active").symlink_to("a")
    assert launcher.has_slots(tmp_path)
    launcher.use_installed(tmp_path)
    launcher.use_installed(tmp_path)  # again, or where there never was one
    assert not launcher.has_slots(tmp_path)

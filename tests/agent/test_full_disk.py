"""A full disk fails a deployment, and neither the machine nor the journal is left half-written."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from fleetd_agent.journal import FileJournal
from fleetd_agent.messages import Component, Hook, Offer, Report, Step

from tests.agent import support
from tests.agent.support import FileServer, engine_on

DISK_BYTES = 4 << 20
DEPLOYMENT = "0199a0b0-0000-7000-8000-000000000002"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, *, leave: int = 0) -> Path:
    """Takes all the room there is, but `leave` bytes."""
    ballast = folder / "ballast"
    with suppress(OSError), ballast.open("ab", buffering=0) as stream:
        while True:
            stream.write(b"x" * 4096)
    with ballast.open("r+b") as stream:
        stream.truncate(max(0, ballast.stat().st_size - leave))
    return ballast


async def deploy(state: Path, *components: Component) -> Report:
    """Runs the real engine on one offer."""
    FileJournal(state).keep_reserve()
    return await support.deploy(engine_on(state), Offer(DEPLOYMENT, "app", "2", components))


def component(files: FileServer, content: bytes, target: Path, kind: str = "binary") -> Component:
    digest = files.add(content)
    url = f"{files.url}/{digest}"
    return Component("app", "2", kind, digest, len(content), url, target=str(target))


async def test_no_room_at_the_target_keeps_the_old_file(
    disk: Path, tmp_path: Path, files: FileServer
) -> None:
    target = disk / "app"
    target.write_bytes(b"old")
    fill(disk, leave=100_000)
    state = tmp_path / "state"
    state.mkdir()
    report = await deploy(state, component(files, os.urandom(1_000_000), target))
    assert (report.step, report.reason_code) == (Step.FAILED, "not_enough_space")
    assert target.read_bytes() == b"old"
    assert sorted(p.name for p in disk.iterdir()) == ["app", "ballast"]


async def test_going_back_needs_no_room(disk: Path, tmp_path: Path, files: FileServer) -> None:
    target = disk / "app"
    old = os.urandom(500_000)
    target.write_bytes(old)
    state = tmp_path / "state"
    state.mkdir()
    app = component(files, os.urandom(500_000), target)
    fills_the_disk = ("/bin/sh", "-c", f"cat /dev/zero > {disk}/ballast; exit 1")
    verify = Hook(fills_the_disk, 10)
    report = await deploy(state, replace(app, verify=verify))
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "verify_failed")
    assert target.read_bytes() == old


async def test_a_download_without_room_leaves_no_bytes(
    disk: Path, tmp_path: Path, files: FileServer
) -> None:
    report = await deploy(disk, component(files, os.urandom(8 << 20), tmp_path / "app"))
    assert (report.step, report.reason_code) == (Step.FAILED, "not_enough_space")
    assert list((disk / "downloads").iterdir()) == []


async def test_the_end_is_recorded_on_a_disk_that_is_full_to_the_last_byte(
    disk: Path, tmp_path: Path, files: FileServer
) -> None:
    target = tmp_path / "app"
    app = component(files, b"new", target)
    fills_the_disk = ("/bin/sh", "-c", f"cat /dev/zero > {disk}/ballast; exit 1")
    before = Hook(fills_the_disk, 10)
    report = await deploy(disk, replace(app, before=before))
    assert (report.step, report.reason_code) == (Step.FAILED, "hook_failed")
    assert FileJournal(disk).load().finished[DEPLOYMENT] == report

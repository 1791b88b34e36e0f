"""Firmware may reboot the machine in the middle of its own installation."""

import asyncio
import os
from pathlib import Path

import pytest
from fleetd_agent.messages import Component, Hook, Offer, Step

from tests.agent.peer import until
from tests.agent.support import FileServer, engine_on

DEPLOYMENT = "0199a0b0-0000-7000-8000-000000000003"


@pytest.mark.parametrize(
    ("kind", "boot_id", "end"),
    [
        ("firmware", "second boot", Step.SUCCEEDED),
        ("firmware", "first boot", Step.ROLLED_BACK),  # only the agent was stopped
        ("config", "second boot", Step.ROLLED_BACK),  # a power cut, not what the hook was for
    ],
)
async def test_only_a_reboot_for_firmware_counts_as_done(
    tmp_path: Path, files: FileServer, kind: str, boot_id: str, end: Step
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    digest = files.add(b"image")
    target = "main" if kind == "firmware" else str(tmp_path / "conf")
    reboot = Hook(("/bin/sh", "-c", f"touch {tmp_path}/begun; sleep 60"), 100)
    component = Component(
        "image", "2", kind, digest, 5, f"{files.url}/{digest}", target=target, after=reboot
    )
    before = engine_on(state, boot_id="first boot")
    before.offer(Offer(DEPLOYMENT, "os", "2", (component,)))
    work = asyncio.create_task(before.run())
    await until((tmp_path / "begun").exists)
    work.cancel()  # the machine goes down while the hook runs
    await asyncio.gather(work, return_exceptions=True)

    after = engine_on(state, boot_id=boot_id)
    work = asyncio.create_task(after.run())
    report = await until(lambda: after.state.finished.get(DEPLOYMENT))
    after.stop()
    await work
    assert report.step == end
    steps = [r.step for r in after.state.outbox]
    assert (Step.REBOOTING in steps) == (end == Step.SUCCEEDED)
    assert os.path.lexists(state / "slots/main/active") == (end == Step.SUCCEEDED)

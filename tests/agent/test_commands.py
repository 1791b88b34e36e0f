"""Commands of releases: they end in time with all that they started, and no output is lost."""

import asyncio
import os
import time
from pathlib import Path

import pytest
from fleetd_agent.commands import CommandRunner
from fleetd_agent.failures import StepFailed, TimedOut, TryLater
from fleetd_agent.messages import Hook

from tests.agent.support import shell

# The end of a run kills whatever carries its id, also below another worker of the tests.
RUN = {"FLEETD_HOOK": "verify", "FLEETD_RUN_ID": f"{os.getpid()}:0:verify"}


async def run(script: str, seconds: int = 10) -> str:
    async with asyncio.timeout(25):
        return await CommandRunner().run(shell(script, seconds), "hook_failed", RUN)


def is_alive(file: Path) -> bool:
    about = Path("/proc", file.read_text().strip(), "stat")
    return about.exists() and ") Z " not in about.read_text()


async def gone(file: Path) -> None:
    async with asyncio.timeout(10):
        while is_alive(file):
            await asyncio.sleep(0.01)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_the_output_is_whole_however_busy_the_machine_is() -> None:
    async def starve() -> None:
        while True:  # the agent gets to run every now and then only
            time.sleep(0.7)
            await asyncio.sleep(0)

    starving = asyncio.create_task(starve())
    assert await run("echo first; sleep 0.1; echo last") == "first\nlast\n"
    starving.cancel()


async def test_only_the_end_of_a_long_output_is_kept() -> None:
    text = await run("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i + 1)); done")
    assert text.endswith("line 19999\n")
    assert len(text) <= 16_000


async def test_a_daemon_that_keeps_the_output_open_holds_up_nobody(tmp_path: Path) -> None:
    began_at = time.monotonic()
    assert await run(f"sleep 60 & echo $! > {tmp_path}/child; echo started") == "started\n"
    assert time.monotonic() - began_at < 30
    assert is_alive(tmp_path / "child")  # what a command starts besides is its own business
    os.kill(int((tmp_path / "child").read_text()), 9)


@pytest.mark.parametrize("how", ["", "setsid "])
async def test_what_ignores_being_asked_to_end_is_killed_with_its_grandchildren(
    tmp_path: Path, how: str
) -> None:
    before = descriptors()
    inner = f'trap "" TERM; echo $$ > {tmp_path}/child; echo in; while :; do sleep 1; done'
    script = f"trap '' TERM; {how}sh -c '{inner}' & while :; do sleep 1; done"
    with pytest.raises(TimedOut) as caught:
        await run(script, 1)
    assert "not done within 1 s" in str(caught.value)
    assert caught.value.log_tail == "in\n"
    await gone(tmp_path / "child")
    assert descriptors() == before


async def test_what_a_failing_command_leaves_behind_goes_with_it(tmp_path: Path) -> None:
    with pytest.raises(StepFailed) as caught:
        await run(f"sleep 60 & echo $! > {tmp_path}/child; echo broken; exit 3")
    assert (caught.value.reason_code, caught.value.log_tail) == ("hook_failed", "broken\n")
    await gone(tmp_path / "child")


async def test_a_command_that_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    before = descriptors()
    child = tmp_path / "child"
    running = asyncio.create_task(run(f"echo $$ > {child}; sleep 60"))
    async with asyncio.timeout(10):
        while not child.exists() or not child.read_text():
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await gone(child)
    assert descriptors() == before


async def test_no_zombies_are_left() -> None:
    for script in ("true", "sleep 3 & true"):
        await run(script)
    with pytest.raises(StepFailed):
        await run("sleep 30 & false")
    mine = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    states = [Path("/proc", number, "stat").read_text().rsplit(") ", 1)[1][0] for number in mine]
    assert "Z" not in states


async def test_a_command_can_ask_for_later_or_not_exist() -> None:
    with pytest.raises(TryLater):
        await run("exit 75")
    before = descriptors()
    with pytest.raises(StepFailed):
        await CommandRunner().run(Hook(("/no/such/file",), 1), "hook_failed", RUN)
    assert descriptors() == before

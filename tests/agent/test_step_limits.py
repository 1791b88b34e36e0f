"""No step of a deployment goes on for ever: what hangs is ended, and the device goes back."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fleetd_agent import limits
from fleetd_agent.commands import CommandRunner
from fleetd_agent.engine import Engine
from fleetd_agent.handlers.files import FileHandler
from fleetd_agent.messages import Check, Report, Step
from fleetd_agent.policy import InstallPolicy, Reboot
from fleetd_agent.ports import Record, Work
from fleetd_agent.reboot import CommandRebooter

from tests.agent.support import FileServer, component, deploy, engine_on, offer_of, shell
from tests.agent.test_commands import gone

STUBBORN = """trap '' TERM
{how} sh -c 'trap "" TERM; echo $$ > {child}; echo I am busy; while :; do sleep 1; done' &
while :; do sleep 1; done
"""


@pytest.fixture
def drip(files: FileServer) -> Iterator[None]:
    """The server sends ten bytes per second."""
    files.behaviour.drip = threading.Event()
    yield
    files.behaviour.drip.set()


async def install(
    tmp_path: Path,
    files: FileServer,
    step: str = "",
    engine: Engine | None = None,
    offer: dict[str, Any] | None = None,
    **more: Any,
) -> Report:
    """Installs over an old file; `step` may take a second."""
    target = tmp_path / "app"
    target.write_bytes(b"old")
    policy = InstallPolicy(step_timeouts={step: 1} if step else {}, reboot=Reboot.WHEN_NEEDED)
    app = component(files, b"new" * 1000, **{"target": str(target), **more})
    report = await deploy(
        engine or engine_on(tmp_path / "state"), offer_of(app, policy=policy, **(offer or {}))
    )
    assert target.read_bytes() == b"old"
    folders = [path for path in (tmp_path / "state/downloads").glob("*") if path.name != "kept"]
    assert folders == []
    return report


@pytest.mark.parametrize("how", ["", "setsid"])
@pytest.mark.parametrize(
    ("hook", "step", "end"),
    [
        ("before", "installing", Step.FAILED),
        ("after", "installing", Step.ROLLED_BACK),
        ("verify", "verifying", Step.ROLLED_BACK),
    ],
)
async def test_a_hook_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, files: FileServer, hook: str, step: str, end: Step, how: str
) -> None:
    child = tmp_path / "child"
    stubborn = shell(STUBBORN.format(how=how, child=child), 100)
    report = await install(tmp_path, files, step, **{hook: stubborn})
    assert (report.step, report.reason_code) == (end, "step_timed_out"), report
    assert "longer than 1 s" in report.message
    assert report.log_tail == "I am busy\n"
    await gone(child)


async def test_a_hook_that_takes_longer_than_its_own_limit_is_the_hooks_fault(
    tmp_path: Path, files: FileServer
) -> None:
    report = await install(tmp_path, files, after=shell("sleep 60", 1))
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "hook_failed")


async def test_a_download_that_drips_ends_when_its_time_is_over(
    tmp_path: Path, files: FileServer, drip: None
) -> None:
    report = await install(tmp_path, files, "downloading")
    assert (report.step, report.reason_code) == (Step.FAILED, "step_timed_out")
    assert "downloading took longer than 1 s" in report.message


async def test_a_download_without_a_limit_ends_at_the_deadline(
    tmp_path: Path, files: FileServer, drip: None
) -> None:
    deadline = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    report = await install(tmp_path, files, offer={"deadline": deadline})
    assert (report.step, report.reason_code) == (Step.FAILED, "deadline_passed")


async def test_a_page_that_drips_does_not_hold_up_its_check(
    tmp_path: Path, files: FileServer
) -> None:
    page = f"{files.url}/{files.add(b'well ' * 1000)}"
    files.behaviour.drip = threading.Event()
    check = Check("http", url=page, contains="nothing", timeout_seconds=1, failure_threshold=1)
    engine = engine_on(tmp_path / "state")
    target = tmp_path / "app"
    target.write_bytes(b"old")
    app = component(files, b"n", target=str(target), checks=(check,))
    report = await deploy(engine, offer_of(app))
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "verify_failed")
    assert target.read_bytes() == b"old"
    async with asyncio.timeout(10):  # the thread that read it ends too
        while any(thread.name == "check" for thread in threading.enumerate()):
            await asyncio.sleep(0.05)
    files.behaviour.drip.set()


PLUGIN = """#!/bin/sh
[ "$1" = apply ] || [ "$1" = roll_back ] || exit 0
if [ "$1" = apply ]; then
  echo new > {target}
  {hang}
fi
sleep 1.5
echo old > {target}
"""


@pytest.mark.parametrize("how", ["", "setsid"])
async def test_a_handler_that_hangs_is_ended_and_has_its_time_for_going_back(
    tmp_path: Path, files: FileServer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    folder, child, target = tmp_path / "handlers.d", tmp_path / "child", tmp_path / "chip"
    folder.mkdir(mode=0o755)
    hang = STUBBORN.format(how=how, child=child)
    (folder / "fpga").write_text(PLUGIN.format(target=target, hang=hang))
    (folder / "fpga").chmod(0o755)
    monkeypatch.setenv("FLEETD_AGENT_HANDLERS_DIR", str(folder))
    report = await install(tmp_path, files, "installing", kind="fpga", target="")
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "step_timed_out"), report
    assert target.read_text() == "old\n"
    await gone(child)


class Hanging(FileHandler):
    """Somebody's own handler in Python, which waits for something that never comes."""

    is_broken_at = ""

    async def _hang(self, where: str) -> None:
        if where == self.is_broken_at:
            await asyncio.Event().wait()

    async def stage(self, work: Work, record: Record) -> None:
        await self._hang("stage")
        await super().stage(work, record)

    async def apply(self, work: Work, record: Record) -> None:
        await super().apply(work, record)
        await self._hang("apply")

    async def verify(self, work: Work, record: Record) -> None:
        await self._hang("verify")

    async def roll_back(self, work: Work, record: Record) -> Any:
        if self.is_broken_at == "roll_back":
            raise ValueError("a fault of somebody else's")
        return await super().roll_back(work, record)


@pytest.mark.parametrize("where", ["stage", "apply", "verify"])
async def test_a_handler_in_python_cannot_hold_up_the_device(
    tmp_path: Path, files: FileServer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(limits, "MOST_SECONDS", 1)
    handler = Hanging(tmp_path / "state", 0o644, CommandRunner())
    handler.is_broken_at = where
    engine = engine_on(tmp_path / "state", handlers={"config": handler})
    report = await install(tmp_path, files, engine=engine)
    assert report.reason_code == "step_timed_out"
    assert report.step == (Step.ROLLED_BACK if where != "stage" else Step.FAILED)


async def test_a_handler_that_breaks_while_going_back_does_not_keep_the_others_from_it(
    tmp_path: Path, files: FileServer
) -> None:
    handler = Hanging(tmp_path / "state", 0o644, CommandRunner())
    handler.is_broken_at = "roll_back"
    engine = engine_on(tmp_path / "state", handlers={"config": handler})
    first, last = tmp_path / "first", tmp_path / "last"
    first.write_bytes(b"old")
    parts = (
        component(files, b"new", name="first", kind="binary", target=str(first)),
        component(files, b"new", name="last", target=str(last), verify=shell("exit 1")),
    )
    report = await deploy(engine, offer_of(*parts))
    assert report.step == Step.FAILED
    assert "could not be undone: last" in report.message
    assert "a fault of somebody else's" in report.log_tail
    assert first.read_bytes() == b"old"


@pytest.mark.parametrize("command", [("/bin/sleep", "60"), ("/bin/true",)])
async def test_a_reboot_that_never_comes_brings_the_device_back(
    tmp_path: Path, files: FileServer, command: tuple[str, ...]
) -> None:
    engine = engine_on(tmp_path / "state", rebooter=CommandRebooter(command))
    options = {"reboot": "true"}
    report = await install(tmp_path, files, "rebooting", engine=engine, options=options)
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "reboot_failed")


async def test_a_roll_back_hook_that_hangs_ends_and_says_what_could_not_be_undone(
    tmp_path: Path, files: FileServer
) -> None:
    hooks = {"verify": shell("exit 1"), "roll_back": shell("trap '' TERM; sleep 60; sleep 60", 1)}
    report = await install(tmp_path, files, **hooks)
    assert (report.step, report.reason_code) == (Step.FAILED, "verify_failed")
    assert "could not be undone: app" in report.message

"""Clocks that jump, disks that fill, words that come late: a device stays reachable and right."""

import asyncio
import errno
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fleetd_agent import agent as agent_module
from fleetd_agent import ports
from fleetd_agent.agent import Agent
from fleetd_agent.commands import CommandRunner
from fleetd_agent.engine import Engine
from fleetd_agent.failures import Restart
from fleetd_agent.handlers.files import FileHandler
from fleetd_agent.journal import FileJournal, State
from fleetd_agent.messages import Report, Step, clean_text
from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb
from fleetd_agent.policy import InstallPolicy, Mode
from fleetd_agent.ports import Clock, Record, Work
from fleetd_agent.wire import report_to_pb

from tests.agent.peer import Device, Peer, until
from tests.agent.support import FileServer, component, deploy, engine_on, offer_of
from tests.agent.test_deploy import at_work

YEARS = timedelta(days=20_000)


class Jumping(datetime):
    """A clock that somebody sets."""

    jump = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.now(tz) + cls.jump


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> type[Jumping]:
    """The device's clock, that can be set."""
    monkeypatch.setattr(ports, "datetime", Jumping)
    monkeypatch.setattr(Jumping, "jump", -YEARS)  # nobody has told it the time yet
    return Jumping


@pytest.mark.parametrize("jump", [timedelta(), YEARS])
def test_a_clock_that_is_set_changes_nothing_of_what_the_platform_said(
    set_clock: type[Jumping], jump: timedelta
) -> None:
    clock, told = Clock(), datetime(2026, 11, 24, 3, tzinfo=UTC)
    clock.set_server_time(told)
    set_clock.jump = jump
    assert abs(clock.server_now() - told) < timedelta(minutes=1)
    ahead = datetime.now(UTC) + jump - told
    assert abs(clock.skew_seconds - ahead.total_seconds()) < 60


async def test_a_clock_that_jumps_lets_no_deadline_pass(
    tmp_path: Path, files: FileServer, set_clock: type[Jumping]
) -> None:
    clock = Clock()
    clock.set_server_time(datetime.now(UTC))
    engine = engine_on(tmp_path / "state", clock=clock)
    app = component(files, b"new", target=str(tmp_path / "app"))
    deadline = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    policy = InstallPolicy(mode=Mode.CONFIRMED)
    offer = offer_of(app, policy=policy, deadline=deadline)
    engine.offer(offer)
    work = asyncio.create_task(engine.run())
    await until(lambda: waits(engine, "waiting_for_confirmation"))
    set_clock.jump = YEARS
    engine._ports.control.approve(offer.deployment_id)
    await until(lambda: offer.deployment_id in engine.state.finished)
    assert engine.state.finished[offer.deployment_id].step == Step.SUCCEEDED
    engine.stop()
    await work


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_machine_without_a_clock_decides_nothing_by_it(
    tmp_path: Path, files: FileServer, set_clock: type[Jumping], is_told: bool
) -> None:
    set_clock.jump = YEARS  # it comes up in a window, as it believes, and past all deadlines
    clock = Clock(patience=600.0 if is_told else 1.0)
    engine = engine_on(tmp_path / "state", clock=clock)
    today = datetime.now(UTC)
    app = component(files, b"new", target=str(tmp_path / "app"))
    days = tuple((today + timedelta(days=n)).date().isoformat() for n in (-1, 0, 1))
    deadline = (today + timedelta(hours=1)).isoformat() if is_told else ""
    policy = InstallPolicy(blackout_dates=days, time_zone="UTC")
    offer = offer_of(app, policy=policy, deadline=deadline)
    engine.offer(offer)
    work = asyncio.create_task(engine.run())
    await until(lambda: waits(engine, "time_unknown"))
    if is_told:
        clock.set_server_time(today)
        await until(lambda: waits(engine, "window_closed"))
        assert not (tmp_path / "app").exists()
    else:  # nobody comes: after a while it has nothing else to go by
        await until(lambda: offer.deployment_id in engine.state.finished)
        assert engine.state.finished[offer.deployment_id].step == Step.SUCCEEDED
    engine.stop()
    await work


def waits(engine: Engine, reason: str) -> bool:
    return any(report.reason_code == reason for report in engine.state.outbox)


class Slow(FileHandler):
    """Stages until it is told to go on."""

    def __init__(self, state: Path) -> None:
        super().__init__(state, 0o644, CommandRunner())
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def stage(self, work: Work, record: Record) -> None:
        self.begun.set()
        await self.go_on.wait()


async def test_a_cancellation_during_staging_comes_before_the_first_change(
    tmp_path: Path, files: FileServer
) -> None:
    handler = Slow(tmp_path / "state")
    engine = engine_on(tmp_path / "state", handlers={"config": handler})
    offer = offer_of(component(files, b"new", target=str(tmp_path / "app")))
    engine.offer(offer)
    work = asyncio.create_task(engine.run())
    await asyncio.wait_for(handler.begun.wait(), 10)
    engine.cancel(offer.deployment_id)
    engine.cancel(offer.deployment_id)  # twice is once
    handler.go_on.set()
    await until(lambda: offer.deployment_id in engine.state.finished)
    report = engine.state.finished[offer.deployment_id]
    assert (report.step, report.reason_code) == (Step.FAILED, "cancelled")
    assert not (tmp_path / "app").exists()
    engine.offer(offer)  # late: it is answered from memory, and not begun again
    await asyncio.sleep(0)
    assert engine.state.active is None
    engine.stop()
    await work


async def test_what_the_platform_has_given_up_is_not_begun_any_more(
    tmp_path: Path, files: FileServer
) -> None:
    engine = engine_on(tmp_path / "state")
    app = component(files, b"new", target=str(tmp_path / "app"))
    offer = offer_of(app, policy=InstallPolicy(mode=Mode.CONFIRMED))
    engine.offer(offer)
    work = asyncio.create_task(engine.run())
    await until(lambda: waits(engine, "waiting_for_confirmation"))
    last = engine.state.outbox[-1]
    engine.acknowledge(offer.deployment_id, last.sequence, is_terminal=True)
    await until(lambda: offer.deployment_id in engine.state.finished)
    engine.stop()
    await work
    assert engine.state.finished[offer.deployment_id].reason_code == "cancelled"
    assert not (tmp_path / "app").exists()


async def test_what_the_platform_says_is_taken_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_on(tmp_path / "state")
    engine.state.outbox = [Report(name, 1, Step.SUCCEEDED) for name in ("a", "b")]

    def full(self: FileJournal, state: State) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FileJournal, "save", full)
    engine.acknowledge("a", 1, is_terminal=True)
    engine.forget("b")
    assert engine.state.outbox == []


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"7", b"{}", b"\0" * 4096, b'{"a"', b"\xff"]
)
def test_a_journal_that_makes_no_sense_is_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal.json").write_bytes(content)
    assert FileJournal(tmp_path).load() == State()
    assert (tmp_path / "journal.broken.json").read_bytes() == content


async def test_folders_that_were_made_outlast_a_power_cut(
    tmp_path: Path, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    engine = engine_on(tmp_path / "state")
    parts = (
        component(files, b"new", name="conf", target=str(tmp_path / "a/b/app.conf")),
        component(files, b"image", name="image", kind="firmware", target="main"),
    )
    assert (await deploy(engine, offer_of(*parts))).step == Step.SUCCEEDED
    made = ("", "a", "a/b", "state", "state/downloads", "state/slots", "state/slots/main")
    assert {str(tmp_path / name).rstrip("/") for name in made} <= synced


class Untidy(FileHandler):
    """Cannot let go of what it kept."""

    def commit(self, record: Record) -> None:
        raise TimeoutError("the container engine does not answer")


async def test_what_cannot_be_cleaned_up_does_not_end_the_agent(
    tmp_path: Path, files: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Untidy(tmp_path / "state", 0o644, CommandRunner())
    engine = engine_on(tmp_path / "state", handlers={"config": handler})
    with caplog.at_level(logging.ERROR):
        for name in ("a", "b"):
            part = component(files, b"new", target=str(tmp_path / name))
            engine._is_stopping = False
            assert (await deploy(engine, offer_of(part))).step == Step.SUCCEEDED
    assert "cannot clean up" in caplog.text
    assert engine_on(tmp_path / "state").state.leftovers == []


async def test_files_are_kept_where_there_are_no_hard_links(
    tmp_path: Path, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*paths: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", no_link)
    app = component(files, b"new" * 1000, target=str(tmp_path / "app"))
    twice = (app, component(files, b"new" * 1000, name="b", target=str(tmp_path / "b")))
    only = offer_of(*twice, policy=InstallPolicy(mode=Mode.DOWNLOAD_ONLY))
    report = await deploy(engine_on(tmp_path / "state"), only)
    assert (report.step, report.reason_code) == (Step.SUCCEEDED, "downloaded_only")
    asked = len(files.behaviour.requests)
    assert (await deploy(engine_on(tmp_path / "state"), offer_of(app))).step == Step.SUCCEEDED
    assert len(files.behaviour.requests) == asked


def test_names_of_files_that_are_no_text_can_be_reported() -> None:
    name = b"caf\xe9".decode(errors="surrogateescape")
    report = Report("a", 1, Step.FAILED, message=clean_text(f"no room for {name}", 100))
    assert report_to_pb(report).message == "no room for caf?"


async def test_an_offer_that_cannot_be_read_does_not_end_the_stream(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    async with at_work(peer, device) as stream:
        broken = pb.ConnectResponse()
        broken.deployment_offer.deployment_id = "0199a0b0-0000-7000-8000-00000000000a"
        broken.deployment_offer.deadline.seconds = 10**15
        await stream.send(broken)
        app = peer.component("app", "config", b"new", target=f"{tmp_path}/app")
        await peer.offer(stream, app)
        assert (await peer.terminal()).step == pb.DEPLOYMENT_STEP_SUCCEEDED
    assert len(peer.streams) == 1


async def test_an_engine_that_breaks_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "RETRY_SECONDS", 0.01)
    agent = object.__new__(Agent)
    ends: list[Exception] = [ValueError("a fault"), OSError(errno.ENOSPC, "full"), Restart()]

    class Breaking:
        async def run(self) -> None:
            raise ends.pop(0)

    agent.engine = Breaking()  # type: ignore[assignment]
    agent.is_replaced = False
    await asyncio.wait_for(agent._run_engine(), 10)
    assert agent.is_replaced
    assert ends == []

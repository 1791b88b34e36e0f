"""The device keeps to what the platform asks for beside the files."""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fleetd_agent.control import FileControl
from fleetd_agent.engine import Engine
from fleetd_agent.journal import FileJournal
from fleetd_agent.messages import Offer, Step
from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb
from fleetd_agent.policy import InstallPolicy, Mode, Reboot, Window

from tests.agent.peer import Device, Peer, until
from tests.agent.support import (
    FastClock,
    FileServer,
    component,
    deploy,
    engine_on,
    offer_of,
    shell,
    steps,
)
from tests.agent.test_deploy import at_work

UTC_ALWAYS = InstallPolicy(time_zone="UTC")


def in_hours(hours: int) -> Window:
    """A window of an hour in UTC that opens in so many hours."""
    begin = datetime.now(UTC) + timedelta(hours=hours)
    minute = begin.hour * 60
    return Window((), minute, minute + 60)


class Evening(FastClock):
    """A clock that can be set, as the platform's time would set it."""

    def go_on(self, hours: int) -> None:
        self.set_server_time(datetime.now(UTC) + timedelta(hours=hours))


async def until_reported(engine: Engine, reason_code: str) -> None:
    await until(lambda: any(r.reason_code == reason_code for r in engine.state.outbox))


async def test_downloads_at_once_and_installs_when_the_window_opens(
    tmp_path: Path, files: FileServer
) -> None:
    clock = Evening()
    engine = engine_on(tmp_path / "state", clock=clock)
    policy = InstallPolicy(windows=(in_hours(3),), time_zone="UTC")
    target = tmp_path / "app"
    offer = offer_of(component(files, b"new", target=str(target)), policy=policy)
    engine.offer(offer)
    work = asyncio.create_task(engine.run())
    await until_reported(engine, "window_closed")
    assert len(files.behaviour.requests) == 1
    assert not target.exists()
    told = next(r for r in engine.state.outbox if r.reason_code == "window_closed")
    assert told.step == Step.WAITING
    assert datetime.fromisoformat(told.waiting_until) > datetime.now(UTC)
    clock.go_on(3)
    await until(lambda: offer.deployment_id in engine.state.finished)
    engine.stop()
    await work
    assert target.read_bytes() == b"new"
    assert [step for step, _ in steps(engine)] == [
        *("downloading", "downloaded", "waiting", "installing", "verifying", "succeeded")
    ]


async def test_a_window_that_does_not_open_before_the_deadline_fails(
    tmp_path: Path, files: FileServer
) -> None:
    policy = InstallPolicy(windows=(in_hours(5),), time_zone="UTC")
    deadline = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    offer = offer_of(
        component(files, b"new", target=str(tmp_path / "app")), policy=policy, deadline=deadline
    )
    report = await deploy(engine_on(tmp_path / "state", clock=FastClock()), offer)
    assert (report.step, report.reason_code) == (Step.FAILED, "deadline_passed")
    assert not (tmp_path / "app").exists()


async def test_waits_until_somebody_at_the_device_agrees(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    app = peer.component("app", "config", b"new", target=f"{tmp_path}/app")
    policy = pb.InstallPolicy(mode=pb.INSTALL_MODE_CONFIRMED)
    async with at_work(peer, device) as stream:
        await peer.offer(stream, app, policy=policy)
        waiting = await until(
            lambda: [r for r in peer.reports() if r.reason_code == "waiting_for_confirmation"]
        )
        assert waiting[0].step == pb.DEPLOYMENT_STEP_WAITING
        code, out, _ = await device.command("update", "check")
        assert code == 0
        assert "fleetd-agent update approve" in out
        about = json.loads((await device.command("update", "check", "--json"))[1])
        assert about["deployment"]["needs_approval"]
        code, out, _ = await device.command("update", "approve")
        assert (code, out) == (0, "approved: app 2.0.0\n")
        assert (await peer.terminal()).step == pb.DEPLOYMENT_STEP_SUCCEEDED


async def test_an_approval_for_nothing_is_refused(device: Device, peer: Peer) -> None:
    device.adopt(peer.identity(device.server))
    code, _, err = await device.command("update", "approve")
    assert (code, err) == (1, "error: no update is under way\n")


async def test_a_pause_survives_restarts_is_reported_and_ends_with_resume(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    device.adopt(peer.identity(device.server))
    code, _, _ = await device.command("update", "pause")
    assert code == 0
    app = peer.component("app", "config", b"new", target=f"{tmp_path}/app")
    async with at_work(peer, device) as stream:
        inventory = (await until(lambda: stream.of("inventory")))[0]
        assert inventory.facts["updates_paused"] == "true"
        await peer.offer(stream, app)
        await until(lambda: [r for r in peer.reports() if r.reason_code == "paused"])
    async with at_work(peer, device) as stream:  # still paused, and the offer is not forgotten
        assert "paused since" in (await device.command("update", "check"))[1]
        assert peer.files.behaviour.requests == []
        await device.command("update", "resume")
        assert (await peer.terminal()).step == pb.DEPLOYMENT_STEP_SUCCEEDED
        await until(lambda: "updates_paused" not in stream.of("inventory")[-1].facts)


def test_a_control_file_that_cannot_be_read_means_paused(tmp_path: Path) -> None:
    (tmp_path / "control.json").write_text("{broken")
    assert FileControl(tmp_path).is_paused


async def test_a_deployment_that_waits_can_be_cancelled(tmp_path: Path, files: FileServer) -> None:
    engine = engine_on(tmp_path / "state", clock=FastClock())
    policy = InstallPolicy(mode=Mode.CONFIRMED)
    offer = offer_of(component(files, b"new", target=str(tmp_path / "app")), policy=policy)
    engine.offer(offer)
    work = asyncio.create_task(engine.run())
    await until_reported(engine, "waiting_for_confirmation")
    engine.cancel(offer.deployment_id)
    report = await until(lambda: engine.state.finished.get(offer.deployment_id))
    engine.stop()
    await work
    assert (report.step, report.reason_code) == (Step.FAILED, "cancelled")


async def test_a_download_alone_installs_nothing_and_saves_the_next_download(
    tmp_path: Path, files: FileServer
) -> None:
    engine = engine_on(tmp_path / "state")
    target = tmp_path / "app"
    app = component(files, os.urandom(100_000), target=str(target))
    report = await deploy(engine, offer_of(app, policy=InstallPolicy(mode=Mode.DOWNLOAD_ONLY)))
    assert (report.step, report.reason_code) == (Step.SUCCEEDED, "downloaded_only")
    assert not target.exists()
    assert engine.state.installed == {}
    engine = engine_on(tmp_path / "state")
    report = await deploy(engine, offer_of(app, policy=UTC_ALWAYS))
    assert report.step == Step.SUCCEEDED
    assert target.exists()
    assert len(files.behaviour.requests) == 1


async def test_all_downloads_together_keep_to_the_bandwidth(
    tmp_path: Path, files: FileServer
) -> None:
    policy = InstallPolicy(maximum_bytes_per_second=400_000)
    both = [
        component(files, os.urandom(300_000), name=name, target=str(tmp_path / name))
        for name in ("a", "b")
    ]
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    report = await deploy(engine_on(tmp_path / "state"), offer_of(*both, policy=policy))
    assert report.step == Step.SUCCEEDED
    # The bucket begins empty: 600 kB at 400 kB/s take at least 1.4 s.
    assert loop.time() - began_at >= 1.4


@pytest.mark.parametrize(
    ("version", "is_allowed", "reason"),
    [
        ("1.9.0", False, "downgrade_refused"),
        ("1.9.0", True, ""),
        ("2.0.0-rc.1", False, "downgrade_refused"),
        ("2.0.0", False, ""),
        ("2.0.1", False, ""),
        ("nightly", False, ""),  # cannot be ordered
    ],
)
async def test_an_older_version_needs_leave(
    tmp_path: Path, files: FileServer, version: str, is_allowed: bool, reason: str
) -> None:
    engine = engine_on(tmp_path / "state")
    engine.state.installed = {"app": "2.0.0"}
    app = component(files, b"other", version=version, target=str(tmp_path / "app"))
    policy = InstallPolicy(allow_downgrade=is_allowed)
    assert (await deploy(engine, offer_of(app, policy=policy))).reason_code == reason
    assert (tmp_path / "app").exists() == (not reason)


class Reboots:
    """A machine that is asked to go down."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def reboot(self, seconds: int) -> None:
        self.asked.set()
        await asyncio.sleep(60)


async def test_a_component_that_asks_for_it_gets_its_reboot_before_it_is_verified(
    tmp_path: Path, files: FileServer
) -> None:
    log = tmp_path / "log"
    app = component(
        files,
        b"new",
        target=str(tmp_path / "app"),
        options={"reboot": "true"},
        verify=shell(f"echo verified >> {log}"),
    )
    offer = offer_of(app, policy=InstallPolicy(reboot=Reboot.WHEN_NEEDED))
    machine = Reboots()
    engine = engine_on(tmp_path / "state", boot_id="first", rebooter=machine)
    engine.offer(offer)
    work = asyncio.create_task(engine.run())
    await asyncio.wait_for(machine.asked.wait(), 10)
    assert not log.exists()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    engine = engine_on(tmp_path / "state", boot_id="second", rebooter=machine)
    report = await deploy(engine, offer)
    assert report.step == Step.SUCCEEDED
    assert log.read_text() == "verified\n"
    assert Step.REBOOTING in [r.step for r in engine.state.outbox]


async def test_a_machine_that_cannot_reboot_goes_back(tmp_path: Path, files: FileServer) -> None:
    app = component(files, b"new", target=str(tmp_path / "app"), options={"reboot": "true"})
    offer = offer_of(app, policy=InstallPolicy(reboot=Reboot.WHEN_NEEDED))
    report = await deploy(engine_on(tmp_path / "state"), offer)  # its reboot command is /bin/false
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "reboot_failed")


async def test_an_offer_without_a_policy_asks_for_nothing(
    tmp_path: Path, files: FileServer
) -> None:
    engine = engine_on(tmp_path / "state")
    engine.state.installed = {"app": "3"}
    app = component(files, b"new", target=str(tmp_path / "app"), options={"reboot": "true"})
    assert (await deploy(engine, offer_of(app))).step == Step.SUCCEEDED


def test_a_policy_survives_the_journal(tmp_path: Path) -> None:
    policy = InstallPolicy(
        mode=Mode.CONFIRMED,
        windows=(Window((1, 7), 60, 30),),
        blackout_dates=("2026-12-24",),
        time_zone="Europe/Oslo",
        step_timeouts={"installing": 5},
        bundle_sha256=("00",),
    )
    offer = offer_of(policy=policy)
    assert Offer.from_json(json.loads(json.dumps(offer.to_json()))) == offer


def test_a_journal_of_a_newer_agent_can_be_read(tmp_path: Path) -> None:
    engine = engine_on(tmp_path)
    engine.adopt("device")
    data = json.loads((tmp_path / "journal.json").read_text())
    data["something_new"] = 1
    data["outbox"] = [
        {"deployment_id": "a", "sequence": 1, "step": "waiting", "new": 2, "message": "x"}
    ]
    (tmp_path / "journal.json").write_text(json.dumps(data))
    assert FileJournal(tmp_path).load().outbox[0].message == "x"

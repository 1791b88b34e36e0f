"""The agent carries out deployments on the machine it runs on."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb

from tests.agent.peer import Device, Peer, Stream, until

SUCCEEDED, FAILED, ROLLED_BACK = (
    pb.DEPLOYMENT_STEP_SUCCEEDED,
    pb.DEPLOYMENT_STEP_FAILED,
    pb.DEPLOYMENT_STEP_ROLLED_BACK,
)


def hook(script: str, seconds: int = 10) -> pb.Hook:
    return pb.Hook(command=["/bin/sh", "-c", script], timeout_seconds=seconds)


@asynccontextmanager
async def at_work(peer: Peer, device: Device) -> AsyncIterator[Stream]:
    if not (device.state / "identity.json").exists():
        device.adopt(peer.identity(device.server))
    count = len(peer.streams)
    async with device.running():
        yield await peer.stream(count + 1)


async def test_installs_each_kind_and_reports_each_step(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    components = [
        peer.component("app", "binary", b"new app", target=f"{tmp_path}/app", file_mode=0o104755),
        peer.component("conf", "config", b"a = 1", target=f"{tmp_path}/etc/app.conf"),
        peer.component(
            "job",
            "script",
            f"#!/bin/sh\necho $FLEETD_COMPONENT $FLEETD_VERSION >> {log}\n".encode(),
            after=hook(f"echo after >> {log}"),
        ),
        peer.component("image", "firmware", b"image 2", target="main"),
    ]
    async with at_work(peer, device) as stream:
        await peer.offer(stream, *components)
        assert (await peer.terminal()).step == SUCCEEDED
        installed = await until(lambda: stream.of("inventory")[-1].installed)
        assert dict(installed) == {name: "2.0.0" for name in ("app", "conf", "job", "image")}
    assert (tmp_path / "app").read_bytes() == b"new app"
    assert (tmp_path / "app").stat().st_mode & 0o7777 == 0o4755
    assert (tmp_path / "etc/app.conf").read_bytes() == b"a = 1"
    assert log.read_text().splitlines() == ["job 2.0.0", "after"]
    assert (device.state / "slots/main/active/image").read_bytes() == b"image 2"
    reports = peer.reports()
    assert [r.report_sequence for r in reports] == sorted({r.report_sequence for r in reports})
    steps = list(dict.fromkeys(pb.DeploymentStep.Name(r.step)[16:].lower() for r in reports))
    assert steps == ["downloading", "downloaded", "installing", "verifying", "succeeded"]


async def test_a_failing_verification_brings_back_the_previous_bytes_and_says_why(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    app, conf = tmp_path / "app", tmp_path / "app.conf"
    app.write_bytes(b"old app")
    app.chmod(0o751)
    conf.write_bytes(b"old conf")
    bad = hook("echo the sensor does not answer; exit 3")
    async with at_work(peer, device) as stream:
        await peer.offer(
            stream,
            peer.component("app", "binary", b"new app", target=str(app)),
            peer.component("conf", "config", b"new conf", target=str(conf)),
            peer.component("image", "firmware", b"image 2", target="main", verify=bad),
        )
        end = await peer.terminal()
    assert (end.step, end.reason_code) == (ROLLED_BACK, "verify_failed")
    assert "exit code 3" in end.message
    assert "the sensor does not answer" in end.log_tail
    assert app.read_bytes() == b"old app"
    assert app.stat().st_mode & 0o777 == 0o751
    assert conf.read_bytes() == b"old conf"
    assert not os.path.lexists(device.state / "slots/main/active")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["agent-state", "app", "app.conf"]


async def test_a_verification_that_hangs_is_killed_with_all_its_children(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    stubborn = hook(f"trap '' TERM; sleep 60 & echo $! > {tmp_path}/child; wait; sleep 60", 1)
    target = f"{tmp_path}/app"
    async with at_work(peer, device) as stream:
        app = peer.component("app", "config", b"new", target=target, verify=stubborn)
        await peer.offer(stream, app)
        end = await peer.terminal()
    assert (end.step, end.reason_code) == (ROLLED_BACK, "verify_failed")
    assert "1 s" in end.message
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    await until(lambda: not child.exists() or ") Z " in child.read_text())


async def test_a_script_without_a_roll_back_hook_is_never_called_rolled_back(
    peer: Peer, device: Device
) -> None:
    script = peer.component("job", "script", b"echo broken\nexit 9\n")
    async with at_work(peer, device) as stream:
        await peer.offer(stream, script)
        end = await peer.terminal()
    assert (end.step, end.reason_code) == (FAILED, "script_failed")
    assert "could not be undone: job" in end.message
    assert end.log_tail == "broken\n"


async def test_a_cut_download_goes_on_where_it_ended(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    content = os.urandom(3_000_000)
    peer.files.behaviour.cut_after = 2_000_000
    async with at_work(peer, device) as stream:
        await peer.offer(stream, peer.component("app", "binary", content, target=f"{tmp_path}/app"))
        assert (await peer.terminal()).step == SUCCEEDED
    ranges = [asked for _, asked in peer.files.behaviour.requests]
    assert ranges == ["", "bytes=2000000-"]
    assert (tmp_path / "app").read_bytes() == content


async def test_other_bytes_than_offered_are_refused(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    app = peer.component("app", "binary", b"the right bytes", target=f"{tmp_path}/app")
    peer.files.behaviour.replace[app.sha256] = b"the wrong bytes"
    async with at_work(peer, device) as stream:
        await peer.offer(stream, app)
        end = await peer.terminal()
    assert (end.step, end.reason_code) == (FAILED, "digest_mismatch")
    assert not (tmp_path / "app").exists()


async def test_more_bytes_than_offered_are_not_taken(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    app = peer.component("app", "binary", b"x" * 1000, target=f"{tmp_path}/app")
    peer.files.behaviour.extra = b"y" * 1_000_000
    async with at_work(peer, device) as stream:
        await peer.offer(stream, app)
        end = await peer.terminal()
    assert (end.step, end.reason_code) == (FAILED, "size_mismatch")


async def test_an_expired_link_waits_for_a_fresh_offer(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    app = peer.component("app", "config", b"new", target=f"{tmp_path}/app")
    fresh = pb.Component()
    fresh.CopyFrom(app)
    app.url = f"{peer.files.url}/expired"
    async with at_work(peer, device) as stream:
        await peer.offer(stream, app)
        await until(lambda: peer.files.behaviour.requests)
        await peer.offer(stream, fresh)
        assert (await peer.terminal()).step == SUCCEEDED


async def test_a_repeated_offer_is_answered_and_not_installed_again(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    script = f"echo run >> {tmp_path}/log\n".encode()
    async with at_work(peer, device) as stream:
        await peer.offer(stream, peer.component("job", "script", script))
        first = await peer.terminal()
        await peer.offer(stream, peer.component("job", "script", script))
        await until(lambda: [r.step for r in peer.reports()].count(SUCCEEDED) == 2)
    async with at_work(peer, device) as stream:  # also after a restart
        await peer.offer(stream, peer.component("job", "script", script))
        await until(lambda: [r.step for r in peer.reports()].count(SUCCEEDED) == 3)
    numbers = {r.report_sequence for r in peer.reports() if r.step == SUCCEEDED}
    assert numbers == {first.report_sequence}
    assert (tmp_path / "log").read_text() == "run\n"


async def test_a_cancellation_before_installation_stops_it(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    app = peer.component("app", "config", b"new", target=f"{tmp_path}/app")
    app.url = f"{peer.files.url}/expired"
    async with at_work(peer, device) as stream:
        await peer.offer(stream, app)
        await until(lambda: peer.files.behaviour.requests)
        cancellation = pb.DeploymentCancellation(deployment_id=peer.deployment)
        await stream.send(pb.ConnectResponse(deployment_cancellation=cancellation))
        end = await peer.terminal()
    assert (end.step, end.reason_code) == (FAILED, "cancelled")
    assert not (tmp_path / "app").exists()


async def test_a_cancellation_during_installation_is_too_late(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    wait = hook(f"touch {tmp_path}/begun; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done")
    app = peer.component("app", "config", b"new", target=f"{tmp_path}/app", before=wait)
    async with at_work(peer, device) as stream:
        await peer.offer(stream, app)
        await until((tmp_path / "begun").exists)
        cancellation = pb.DeploymentCancellation(deployment_id=peer.deployment)
        await stream.send(pb.ConnectResponse(deployment_cancellation=cancellation))
        (tmp_path / "go").touch()
        assert (await peer.terminal()).step == SUCCEEDED


async def test_reports_wait_on_disk_until_the_platform_has_them(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    peer.acknowledges = False
    async with at_work(peer, device) as stream:
        await peer.offer(stream, peer.component("app", "config", b"new", target=f"{tmp_path}/app"))
        first = await peer.terminal()
    peer.acknowledges = True
    async with at_work(peer, device) as stream:
        await until(lambda: first in stream.of("deployment_report"))
        code, out, _ = await device.command("status")
        assert "waiting" not in out


async def test_a_stopped_agent_finishes_after_the_next_start(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    slow = hook(f"echo before >> {tmp_path}/log; sleep 0.5")
    app = peer.component("app", "config", b"new", target=f"{tmp_path}/app", before=slow)
    device.adopt(peer.identity(device.server))
    async with device.running() as process:
        stream = await peer.stream()
        await peer.offer(stream, app)
        await until((tmp_path / "log").exists)
        process.terminate()
        await process.wait()
    async with at_work(peer, device) as stream:
        assert stream.hello.active_deployment_id == peer.deployment
        assert (await peer.terminal()).step == SUCCEEDED
    assert (tmp_path / "log").read_text() == "before\n"


async def test_a_killed_agent_ends_the_command_it_left_behind(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    script = f"echo $$ > {tmp_path}/pid\nexec sleep 60\n".encode()
    async with at_work(peer, device) as stream:
        await peer.offer(stream, peer.component("job", "script", script))
        await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    async with at_work(peer, device):  # at_work ends with kill -9
        end = await peer.terminal()
    assert end.reason_code == "interrupted"
    process = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    await until(lambda: not process.exists() or ") Z " in process.read_text())


async def test_a_full_disk_fails_and_leaves_nothing_half_written(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    huge = peer.component("app", "binary", b"x", target=f"{tmp_path}/app", size_bytes=1 << 60)
    async with at_work(peer, device) as stream:
        await peer.offer(stream, huge)
        end = await peer.terminal()
    assert (end.step, end.reason_code) == (FAILED, "not_enough_space")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["agent-state"]


async def test_a_refused_target_fails_before_anything_is_downloaded(
    peer: Peer, device: Device
) -> None:
    async with at_work(peer, device) as stream:
        target = f"{device.state}/identity.json"
        await peer.offer(stream, peer.component("app", "binary", b"new", target=target))
        end = await peer.terminal()
    assert (end.step, end.reason_code) == (FAILED, "target_refused")
    assert peer.files.behaviour.requests == []


async def test_a_report_that_nobody_wants_does_not_keep_the_device_away(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    peer.not_ours.add(peer.deployment)
    async with at_work(peer, device) as stream:
        await peer.offer(stream, peer.component("app", "config", b"new", target=f"{tmp_path}/app"))
        await until(lambda: stream.is_over)
        stream = await peer.stream(len(peer.streams) + 1)
        await until(lambda: stream.of("heartbeat"))
        assert stream.hello.active_deployment_id == ""


async def test_a_device_with_a_new_identity_tells_nothing_of_the_old_one(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    peer.acknowledges = False
    async with at_work(peer, device) as stream:
        await peer.offer(stream, peer.component("app", "config", b"new", target=f"{tmp_path}/app"))
        await peer.terminal()
    peer.device_id = "device-2"
    device.adopt(peer.identity(device.server))
    async with at_work(peer, device) as stream:
        await until(lambda: stream.of("heartbeat"))
        assert stream.of("deployment_report") == []
        # What is installed is a fact of the machine, whoever it belongs to.
        assert dict(stream.of("inventory")[0].installed) == {"app": "2.0.0"}

"""What was installed has to prove that it works, else the device goes back."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleetd_agent.messages import Check, Report, Step
from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb

from tests.agent.peer import Device, Peer, until
from tests.agent.support import (
    FastClock,
    FileServer,
    component,
    deploy,
    engine_on,
    offer_of,
    shell,
)
from tests.agent.test_deploy import at_work


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


async def install(tmp_path: Path, files: FileServer, *checks: Check) -> Report:
    target = tmp_path / "app"
    target.write_bytes(b"old")
    app = component(files, b"new", target=str(target), checks=checks)
    report = await deploy(engine_on(tmp_path / "state", clock=FastClock()), offer_of(app))
    assert target.read_bytes() == (b"new" if report.step == Step.SUCCEEDED else b"old")
    return report


async def test_passes_what_answers(tmp_path: Path, files: FileServer, port: int) -> None:
    page = f"{files.url}/{files.add(b'all is well')}"
    checks = (
        Check("http", url=page, contains="is well"),
        Check("http", url=f"{files.url}/nothing", statuses=(404,)),
        Check("tcp", port=port),
        Check("command", command=shell("exit 0"), success_threshold=3),
    )
    assert (await install(tmp_path, files, *checks)).step == Step.SUCCEEDED


@pytest.mark.parametrize(
    ("check", "why"),
    [
        (Check("http", name="web", url="{url}/nothing"), "answered 404"),
        (Check("http", name="web", url="{url}/{page}", statuses=(204,)), "answered 200"),
        (Check("http", name="web", url="{url}/{page}", contains="sick"), "without 'sick'"),
        (Check("http", name="web", url="file:///etc/passwd"), "not a web address"),
        (Check("tcp", name="web"), "127.0.0.1:"),
        (Check("command", name="web", command=shell("echo ill; exit 4")), "exit code 4"),
        (Check("command", name="web", command=shell("exit 75")), "tried later"),
        (Check("quantum", name="web"), "knows no check"),
    ],
)
async def test_goes_back_when_a_check_fails_as_often_as_it_may(
    tmp_path: Path, files: FileServer, check: Check, why: str
) -> None:
    from dataclasses import replace

    page = files.add(b"well")
    url = check.url.format(url=files.url, page=page) if check.url else ""
    check = replace(check, url=url, port=closed_port(), failure_threshold=2)
    report = await install(tmp_path, files, check)
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "verify_failed")
    assert why in report.message


async def test_a_service_may_need_some_tries_until_it_is_up(
    tmp_path: Path, files: FileServer
) -> None:
    count = tmp_path / "count"
    slow = shell(f"echo x >> {count}; [ $(wc -l < {count}) -ge 3 ]")
    check = Check("command", command=slow, interval_seconds=1, failure_threshold=5)
    assert (await install(tmp_path, files, check)).step == Step.SUCCEEDED


async def test_time_that_is_over_ends_a_check_that_only_sometimes_passes(
    tmp_path: Path, files: FileServer
) -> None:
    count = tmp_path / "count"
    shaky = shell(f"echo x >> {count}; [ $(($(wc -l < {count}) % 2)) = 0 ]")
    check = Check("command", command=shaky, success_threshold=2, deadline_seconds=6)
    target = tmp_path / "app"
    app = component(files, b"new", target=str(target), checks=(check,))
    report = await deploy(engine_on(tmp_path / "state", clock=FastClock()), offer_of(app))
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "verify_failed")


async def test_a_device_that_cuts_itself_off_goes_back(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    check = pb.HealthCheck(heartbeat=pb.HeartbeatProbe(), timeout_seconds=1, deadline_seconds=1)
    target = tmp_path / "network.conf"
    target.write_bytes(b"old")
    conf = peer.component("conf", "config", b"new", target=str(target), checks=[check])
    async with at_work(peer, device) as stream:
        peer.acknowledges = False  # the platform hears nothing and answers nothing
        await peer.offer(stream, conf)
        end = await peer.terminal()
    assert (end.step, end.reason_code) == (pb.DEPLOYMENT_STEP_ROLLED_BACK, "verify_failed")
    assert target.read_bytes() == b"old"


async def test_a_device_that_still_reaches_the_platform_stays_with_the_new(
    peer: Peer, device: Device, tmp_path: Path
) -> None:
    check = pb.HealthCheck(heartbeat=pb.HeartbeatProbe())
    conf = peer.component("conf", "config", b"new", target=f"{tmp_path}/c", checks=[check])
    async with at_work(peer, device) as stream:
        await peer.offer(stream, conf)
        assert (await peer.terminal()).step == pb.DEPLOYMENT_STEP_SUCCEEDED


async def test_a_stopped_agent_looks_again_after_its_next_start(
    tmp_path: Path, files: FileServer
) -> None:
    go = tmp_path / "go"
    check = Check("command", command=shell(f"test -e {go}"), interval_seconds=1)
    app = component(files, b"new", target=str(tmp_path / "app"), checks=(check,))
    offer = offer_of(app)
    engine = engine_on(tmp_path / "state")
    engine.offer(offer)
    work = asyncio.create_task(engine.run())
    await until((tmp_path / "app").exists)
    engine.stop()
    await asyncio.wait_for(work, 10)
    go.touch()
    assert (await deploy(engine_on(tmp_path / "state"), offer)).step == Step.SUCCEEDED

"""`fleetctl sim up` runs many devices in one process, each with an identity of its own."""

import asyncio
import os
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from fleetctl.sim.behaviour import Behaviour, parse_share, parse_version_rule
from fleetctl.sim.hardware import machine
from tests.agent.peer import ROOT, TOKEN, Peer, until

COUNT = 6


@asynccontextmanager
async def simulation(
    folder: Path, server: str, *more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fleetctl.cli", "sim", "up", "--server", server),
        *("--count", str(COUNT), "--ramp", "500ms", "--step-seconds", "0.05"),
        *("--state-dir", str(folder / "fleet"), *more),
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'agent'}",
            "FLEETD_ENROLLMENT_TOKEN": TOKEN,
        },
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def offer_to_all(peer: Peer, version: str) -> None:
    app = peer.component("app", "binary", b"new app", target="/usr/bin/app", version=version)
    for stream in peer.streams:
        if not stream.is_over:
            await peer.offer(stream, app, deployment_id=str(uuid.uuid4()), release_version=version)


def ends(peer: Peer) -> Counter[int]:
    terminal = (pb.DEPLOYMENT_STEP_SUCCEEDED, pb.DEPLOYMENT_STEP_ROLLED_BACK)
    return Counter(r.step for r in peer.reports() if r.step in terminal)


async def test_devices_install_and_a_bad_version_is_rolled_back(peer: Peer, tmp_path: Path) -> None:
    async with simulation(tmp_path, peer.files.url, "--fail-version", "app=3:verify=1.0") as sim:
        await peer.stream(COUNT)
        assert len({stream.serial for stream in peer.streams}) == COUNT
        await offer_to_all(peer, "2")
        await until(lambda: ends(peer)[pb.DEPLOYMENT_STEP_SUCCEEDED] == COUNT)
        await offer_to_all(peer, "3")
        await until(lambda: ends(peer)[pb.DEPLOYMENT_STEP_ROLLED_BACK] == COUNT)
        assert len(peer.files.behaviour.requests) == 2 * COUNT  # they really download
        sim.terminate()
        assert await sim.wait() == 0
        await until(lambda: all(stream.of("goodbye") for stream in peer.streams))


async def test_a_restarted_fleet_keeps_its_identities_and_versions(
    peer: Peer, tmp_path: Path
) -> None:
    async with simulation(tmp_path, peer.files.url):
        await peer.stream(COUNT)
        await offer_to_all(peer, "2")
        await until(lambda: ends(peer)[pb.DEPLOYMENT_STEP_SUCCEEDED] == COUNT)
    async with simulation(tmp_path, peer.files.url):  # the first one was killed
        await peer.stream(2 * COUNT)
        assert len(peer.csrs) == COUNT
        stream = peer.streams[-1]
        inventory = (await until(lambda: stream.of("inventory")))[0]
        assert dict(inventory.installed) == {"app": "2"}


async def test_a_state_of_another_fleet_is_not_mixed_up(peer: Peer, tmp_path: Path) -> None:
    async with simulation(tmp_path, peer.files.url):
        await peer.stream(COUNT)
    async with simulation(tmp_path, peer.files.url, "--seed", "2") as sim:
        assert sim.stderr is not None
        assert b"--state-dir" in await sim.stderr.read()
        assert await sim.wait() == 2


@given(st.integers(), st.integers(1, 10_000))
def test_the_same_seed_gives_the_same_machine(seed: int, number: int) -> None:
    one, two = (machine(seed, number, ["pi4", "x86"], ["oslo", "lyon"]) for _ in range(2))
    assert one.inventory() == two.inventory()
    assert one.hardware_id() == two.hardware_id()
    assert one.sample().cpu_ratio == two.sample().cpu_ratio


def test_failures_are_as_frequent_as_asked_and_repeatable() -> None:
    behaviour = Behaviour(7, {"verify": 0.1}, (parse_version_rule("edge=2.4.1:verify=1.0"),))
    draws = [behaviour.fails(n, "deployment", "verify") for n in range(5000)]
    assert 400 < sum(draws) < 600
    assert draws == [behaviour.fails(n, "deployment", "verify") for n in range(5000)]
    assert behaviour.fails(1, "deployment", "verify", ("edge", "2.4.1"))


async def test_a_share_of_the_devices_never_verifies_a_bad_version(
    peer: Peer, tmp_path: Path
) -> None:
    behaviour = Behaviour(1, bad_versions={"3": 0.5})
    bad = sum(behaviour.is_bad_on(number, "3") for number in range(1, COUNT + 1))
    assert 0 < bad < COUNT
    options = ("--fail-verify", "3=0.5", "--installed", "app=1")
    async with simulation(tmp_path, peer.files.url, *options):
        await peer.stream(COUNT)
        inventory = (await until(lambda: peer.streams[0].of("inventory")))[0]
        assert dict(inventory.installed) == {"app": "1"}
        await offer_to_all(peer, "3")
        await until(lambda: ends(peer).total() == COUNT)
        assert ends(peer)[pb.DEPLOYMENT_STEP_ROLLED_BACK] == bad
        await offer_to_all(peer, "3")
        await until(lambda: ends(peer).total() == 2 * COUNT)
        assert ends(peer)[pb.DEPLOYMENT_STEP_ROLLED_BACK] == 2 * bad  # the same ones


async def test_devices_go_offline_for_their_share_of_the_time_and_come_back(
    peer: Peer, tmp_path: Path
) -> None:
    async with simulation(tmp_path, peer.files.url, "--offline", "0.3", "--offline-cycle", "2s"):
        await peer.stream(3 * COUNT)
        assert not any(stream.of("goodbye") for stream in peer.streams)
        assert len(peer.csrs) == COUNT


def test_a_bad_version_is_bad_on_its_share_of_the_devices() -> None:
    behaviour = Behaviour(7, bad_versions={"2.4.1": 0.08})
    bad = [number for number in range(5000) if behaviour.is_bad_on(number, "2.4.1")]
    assert 330 < len(bad) < 470
    assert all(behaviour.fails(n, "any", "verify", ("edge", "2.4.1")) for n in bad)
    assert not behaviour.is_bad_on(bad[0], "2.4.2")


def test_a_version_can_be_bad_on_one_kind_of_machine_only() -> None:
    behaviour = Behaviour(7, bad_versions=dict([parse_share("2.4.1@pi4=1.0")]))
    assert behaviour.is_bad_on(1, "2.4.1", "pi4")
    assert not behaviour.is_bad_on(1, "2.4.1", "x86")
    assert behaviour.fails(1, "any", "verify", ("edge", "2.4.1"), kind="pi4")


def test_a_version_that_runs_hot_shows_in_what_the_device_reports() -> None:
    one = machine(7, 1, ["pi4"], ["oslo"])
    cool = one.sample()
    one.is_hot = lambda: Behaviour(7, hot_versions={"2.4.1": 1.0}).is_hot_on(1, "2.4.1", one.kind)
    hot = one.sample()
    assert hot.temperature_celsius > (cool.temperature_celsius or 0) + 20
    assert hot.cpu_ratio > 0.9

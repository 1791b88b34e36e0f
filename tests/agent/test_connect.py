"""The agent enrolls, stays connected, comes back, and says goodbye."""

import asyncio
import json
import os
import stat

import grpc
from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb

from tests.agent.peer import TOKEN, Device, Peer, until


async def test_enrolls_and_tells_the_facts_of_the_machine(peer: Peer, device: Device) -> None:
    await device.enroll()
    assert peer.files.posts == [
        ("/internal.agent.v1.EnrollmentService/Enroll", "application/proto")
    ]
    assert stat.S_IMODE(os.stat(device.state / "identity.json").st_mode) == 0o600
    async with device.running() as process:
        stream = await peer.stream()
        assert "binary" in stream.hello.component_kinds
        inventory = (await until(lambda: stream.of("inventory")))[0]
        assert inventory.kernel == os.uname().release
        assert inventory.memory_bytes > 0
        first, second = (await until(lambda: len(stream.of("heartbeat")) > 1 and stream.received))[
            -2:
        ]
        assert second.sequence == first.sequence + 1
        beat = stream.of("heartbeat")[-1]
        assert 0 < beat.memory_ratio <= 1
        code, out, _ = await device.command("status", "--json")
        assert code == 0
        assert json.loads(out)["connection"]["connection"] == "connected"
        process.terminate()
        await until(lambda: stream.is_over)
        assert stream.of("goodbye")[0].reason == "agent stopped"
        assert await process.wait() == 0


async def test_waits_for_approval_with_the_same_request(peer: Peer, device: Device) -> None:
    peer.pending_answers = 1
    await device.enroll()
    assert len(peer.csrs) == 2
    assert peer.csrs[0] == peer.csrs[1]


async def test_a_refused_token_says_why_and_keeps_the_key_for_the_next_try(
    peer: Peer, device: Device
) -> None:
    code, _, err = await device.command(
        "enroll", "--server", device.server, FLEETD_TOKEN="fld_enr_wrong"
    )
    assert code == 1
    assert "token not valid" in err
    await device.enroll()
    assert peer.csrs[0] == peer.csrs[1]


async def test_a_second_enrollment_does_not_replace_a_valid_identity(
    peer: Peer, device: Device
) -> None:
    await device.enroll()
    code, _, err = await device.command("enroll", "--server", device.server, FLEETD_TOKEN=TOKEN)
    assert (code, len(peer.csrs)) == (1, 1)
    assert "device-1" in err


async def test_comes_back_after_the_port_was_cut(peer: Peer, device: Device) -> None:
    device.adopt(peer.identity(device.server))
    async with device.running():
        await peer.stream()
        await peer.stop()
        await peer.start()
        stream = await peer.stream(2)
        await until(lambda: stream.of("heartbeat"))


async def test_stays_away_as_long_as_the_server_asked(peer: Peer, device: Device) -> None:
    device.adopt(peer.identity(device.server))
    async with device.running():
        stream = await peer.stream()
        notice = pb.Reconnect(retry_after_seconds=2, reason="restarting")
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        await stream.send(pb.ConnectResponse(reconnect=notice))
        await peer.stream(2)
        assert 2.0 <= loop.time() - asked_at < 5.0


async def test_renews_the_certificate_at_two_thirds_and_comes_back_with_it(
    peer: Peer, device: Device
) -> None:
    peer.leaf_age_days = 9  # of 10
    await device.enroll()
    async with device.running():
        # The renewal may come before the first stream has been taken up.
        await until(
            lambda: peer.renewals and peer.streams[-1:] and peer.streams[-1].serial in peer.renewals
        )
        assert len(peer.renewals) == 1


async def test_a_refused_device_says_why_and_when_it_tries_again(
    peer: Peer, device: Device
) -> None:
    device.adopt(peer.identity(device.server))
    peer.connect_error = grpc.StatusCode.PERMISSION_DENIED
    async with device.running() as process:
        assert process.stderr is not None
        line = b""
        while b"permission_denied" not in line or b"retry_in" not in line:
            line = await asyncio.wait_for(process.stderr.readline(), 10)


async def test_only_one_agent_works_in_a_state_directory(peer: Peer, device: Device) -> None:
    device.adopt(peer.identity(device.server))
    async with device.running():
        await peer.stream()
        code, _, err = await device.command("run")
        assert code == 1
        assert "another agent" in err


async def test_doctor_names_what_is_wrong_and_its_fix(peer: Peer, device: Device) -> None:
    device.adopt(peer.identity(device.server))
    code, out, _ = await device.command("doctor", "--json")
    checks = {item["name"]: item for item in json.loads(out)}
    assert checks["agent TLS"]["is_good"], checks
    await peer.stop()
    code, out, _ = await device.command("doctor", "--json")
    checks = {item["name"]: item for item in json.loads(out)}
    assert code == 1
    assert not checks["agent port"]["is_good"]
    assert "TCP" in checks["agent port"]["fix"]


async def test_uninstall_tells_the_platform_and_keeps_the_key_unless_purged(
    peer: Peer, device: Device
) -> None:
    device.adopt(peer.identity(device.server))
    code, out, err = await device.command("uninstall")
    assert code == 0, err
    assert peer.streams[0].of("goodbye")[0].reason == "uninstalled"
    assert (device.state / "identity.json").exists()
    code, out, _ = await device.command("uninstall", "--purge")
    assert code == 0
    assert not device.state.exists()


async def test_a_word_that_breaks_the_agent_does_not_leave_it_deaf(
    peer: Peer, device: Device
) -> None:
    device.adopt(peer.identity(device.server))
    async with device.running():
        stream = await peer.stream()
        broken = pb.Welcome()
        broken.server_time.seconds = 1 << 60  # a year that no calendar has
        await stream.send(pb.ConnectResponse(welcome=broken))
        stream = await peer.stream(2)
        await until(lambda: stream.of("heartbeat"))


async def test_a_random_answer_of_the_web_port_is_not_taken_for_an_identity(
    peer: Peer, device: Device
) -> None:
    for body in (b"", b"<html>", b"\xff" * 100, b"\x18\x01"):
        peer.files.post = lambda request, _, body=body: peer.answer(request, 200, body, "x/y")
        code, _, err = await device.command("enroll", "--server", device.server, "--token", "t")
        assert code == 1
        assert "Traceback" not in err
        assert not (device.state / "identity.json").exists()

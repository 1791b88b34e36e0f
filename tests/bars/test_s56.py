"""S56: a WebSocket serves our own page and its person only, and bears what a client sends."""

import asyncio
import json
import re
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from apps.core.ids import uuid7
from apps.core.realtime import group_name
from tests.web_server import WebServer

SIGNED_OUT, TOO_FAST, TOO_BIG = 4401, 4429, 1009
FOREIGN = [
    None,
    "null",
    "https://evil.test",
    "http://127.0.0.1.evil.test",
    "http://evil.test/http://127.0.0.1",
]


def _session_of(user: Any) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


class Tab:
    """Opens sockets of one page of the server."""

    def __init__(self, server: WebServer, session: str) -> None:
        self.address = f"ws://127.0.0.1:{server.port}/ws/v1"
        self.own = f"http://127.0.0.1:{server.port}"
        self.session = session

    def open(self, origin: str | None = "own", cookie: bool = True, **more: str) -> Any:
        headers = {"Cookie": f"sessionid={self.session}"} if cookie else {}
        if origin is not None:
            headers["Origin"] = self.own if origin == "own" else origin
        return connect(self.address, additional_headers={**headers, **more}, open_timeout=20)


async def _answer(socket: Any, topic: str) -> dict[str, Any]:
    await socket.send(json.dumps({"op": "subscribe", "topic": topic}))
    return dict(json.loads(await asyncio.wait_for(socket.recv(), 20)))


async def _closes(socket: Any) -> int:
    with suppress(ConnectionClosed):
        while True:
            await asyncio.wait_for(socket.recv(), 20)
    return int(socket.close_code)


async def test_s56_a_socket_serves_its_own_page_and_person(
    transactional_db: None,
    redis_url: str,
    acme: Any,
    globex: Any,
    alice_member: Any,
    tmp_path: Any,
) -> None:
    """Given a running server, when a foreign or missing origin, no session, or another
    organization's device or group is brought, then it is refused, alike for what does not exist; a
    frame of 1 MB or a flood closes that socket and leaves the one beside it alone."""
    session = await sync_to_async(_session_of)(alice_member.user)
    server = WebServer(tmp_path / "web", FLEETD_LIMIT_SOCKETS="40")
    await asyncio.to_thread(server.__enter__)
    try:
        tab = Tab(server, session)
        for origin in FOREIGN:
            with pytest.raises(InvalidStatus) as refused:
                await tab.open(origin).__aenter__()
            assert refused.value.response.status_code == 403
        async with tab.open(cookie=False) as nobody:
            assert await _closes(nobody) == SIGNED_OUT
        async with tab.open() as beside:
            own = await _answer(beside, f"device.{acme.device.id}")
            assert own["op"] == "subscribed"
            said = []
            for foreign in (globex.device.id, globex.group.id, uuid7()):
                for kind in ("device", "device-group", "rollout", "deployment", "organization"):
                    answer = await _answer(beside, f"{kind}.{foreign}")
                    assert answer.pop("topic") == f"{kind}.{foreign}"
                    said.append(answer)
            assert all(answer == {"op": "error", "code": "not_found"} for answer in said)
            async with tab.open() as huge:
                with suppress(ConnectionClosed):
                    await huge.send("x" * 1_000_000)
                assert await _closes(huge) == TOO_BIG
            async with tab.open() as flood:
                with suppress(ConnectionClosed):
                    for _ in range(2_000):
                        await flood.send('{"op":"ping"}')
                assert await _closes(flood) == TOO_FAST
            await beside.send('{"op":"ping"}')
            assert json.loads(await asyncio.wait_for(beside.recv(), 20)) == {"op": "pong"}
        codes = []
        for _ in range(45):  # more sockets than one address may open in a minute
            async with tab.open(cookie=False) as one:
                codes.append(await _closes(one))
        assert codes[-1] == TOO_FAST
        assert set(codes) == {SIGNED_OUT, TOO_FAST}
    finally:
        await asyncio.to_thread(server.__exit__)


def test_s56_group_names_hold_the_organization() -> None:
    """Given one topic in two organizations, when its groups are named, then each name begins with
    the organization's id."""
    one, two = uuid7(), uuid7()
    names = [group_name(organization, f"device.{uuid7()}") for organization in (one, two)]
    for organization, name in zip((one, two), names, strict=True):
        assert name.startswith(f"o{organization.hex}.")
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,99}", name)

"""Sockets of signed-in people."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.test import Client

from apps.organizations.models import Membership
from apps.web.realtime import consumer
from apps.web.realtime.routing import live

ORIGIN = "http://testserver"


class Socket:
    """A tab's socket, without a network: what uvicorn would send and receive."""

    def __init__(self, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        scope = {"type": "websocket", "path": path, "headers": headers, "subprotocols": []}
        self._wire = ApplicationCommunicator(live, {**scope, "client": ("192.0.2.7", 4711)})

    async def connect(self) -> tuple[bool, int | None]:
        """Whether the server accepted, and the code where it did not."""
        await self._wire.send_input({"type": "websocket.connect"})
        answer = await self._wire.receive_output(5)
        return answer["type"] == "websocket.accept", answer.get("code")

    async def send(self, message: Any) -> None:
        """Sends a message as JSON, or text or bytes as they are."""
        key = "bytes" if isinstance(message, bytes) else "text"
        value = message if isinstance(message, str | bytes) else json.dumps(message)
        await self._wire.send_input({"type": "websocket.receive", key: value})

    async def hears(self, timeout: float = 5) -> dict[str, Any]:
        """The next message."""
        output = await self._wire.receive_output(timeout)
        assert output["type"] == "websocket.send", output
        return dict(json.loads(output["text"]))

    async def says(self, **message: Any) -> dict[str, Any]:
        """Sends a message; the next answer."""
        await self.send(message)
        return await self.hears()

    async def hears_nothing(self, seconds: float) -> bool:
        """Whether the server stays silent."""
        return bool(await self._wire.receive_nothing(seconds))

    async def closes(self, timeout: float = 10) -> int:
        """Reads until the server closes; the code."""
        while True:
            message = await self._wire.receive_output(timeout)
            if message["type"] == "websocket.close":
                return int(message["code"])

    async def disconnect(self) -> None:
        """The tab is closed."""
        if self._wire.future.done():
            return
        await self._wire.send_input({"type": "websocket.disconnect", "code": 1001})
        await self._wire.wait(5)


@pytest.fixture
def cookie_of(transactional_db: None) -> Callable[[Membership], str]:
    """The session cookie of a member who has signed in."""

    def sign_in(member: Membership) -> str:
        client = Client()
        client.force_login(member.user)
        return client.cookies["sessionid"].value

    return sign_in


@pytest.fixture
async def socket_of(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Any]]:
    """Opens sockets that look after their rights every 100 ms, and closes them at the end."""
    monkeypatch.setattr(consumer, "RECHECK_SECONDS", 0.1)
    opened: list[Socket] = []

    def make(cookie: str = "", origin: str | None = ORIGIN, path: str = "/ws/v1") -> Socket:
        headers = [(b"host", b"testserver")]
        if origin is not None:
            headers.append((b"origin", origin.encode()))
        if cookie:
            headers.append((b"cookie", f"sessionid={cookie}".encode()))
        socket = Socket(path, headers)
        opened.append(socket)
        return socket

    yield make
    for socket in opened:
        await socket.disconnect()

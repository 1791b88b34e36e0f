"""S15: given live sessions, access and refresh tokens, API keys, streams and sockets of a person,
when the person is disabled, removed from the organization, gets a new password, a lower role or is
signed out, then every call from five seconds later on reflects it, on REST, gRPC and WebSocket.

Over a really running platform, with the change written into its database, so that no process of it
can know of the change by itself.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc.aio
import httpx
import psycopg
import pytest
import websockets

from apps.core.ids import uuid7
from fleetd.pb.public.v1 import auth_pb2, fleet_pb2
from fleetd.settings.layout import read_private
from tests.platform.runner import FleetdUp

OWNER = "owner@acme.test"
PASSWORD = "correct horse battery staple"
SECONDS = 5.0
CHANGES = ("disabled", "removed", "password", "lowered", "signed_out")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetdUp]:
    """A platform with an owner in it."""
    up = FleetdUp(
        tmp_path_factory.mktemp("s15") / "var",
        FLEETD_BOOTSTRAP_EMAIL=OWNER,
        FLEETD_BOOTSTRAP_PASSWORD=PASSWORD,
        FLEETD_BOOTSTRAP_ORG="Acme",
    ).start()
    yield up
    up.stop()


@pytest.fixture
def database(running: FleetdUp) -> Iterator[psycopg.Connection[Any]]:
    """The platform's database as superuser, past everything that the platform would notice."""
    url = read_private(running.layout.database_url("owner"))
    socket = re.search(r"host=([^&]+)", url)[1].replace("%2F", "/")
    password = read_private(running.layout.secrets / "database-superuser-password")
    with psycopg.connect(
        host=socket, user="postgres", password=password, dbname="fleetd", autocommit=True
    ) as connection:
        yield connection


@dataclass
class Person:
    """Somebody with one of everything that can be live."""

    id: str
    email: str
    access_token: str
    refresh_token: str
    api_key: str
    browser: httpx.AsyncClient
    stream: Any
    socket: Any
    stream_end: "asyncio.Task[str] | None" = None
    socket_end: "asyncio.Task[str] | None" = None


def add_person(database: psycopg.Connection[Any], name: str) -> tuple[str, str]:
    """A second operator of the organization, with the owner's password."""
    user_id, email = str(uuid7()), f"{name}@acme.test"
    columns = [
        row[0]
        for row in database.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'accounts_user'"
        )
        if row[0] not in ("id", "email", "is_superuser")
    ]
    kept = ", ".join(columns)
    database.execute(
        f"INSERT INTO accounts_user (id, email, is_superuser, {kept})"
        f" SELECT %s, %s, false, {kept} FROM accounts_user WHERE email = %s",
        [user_id, email, OWNER],
    )
    database.execute(
        "INSERT INTO organizations_membership (id, organization_id, user_id, role, created_at)"
        " SELECT %s, id, %s, 'operator', now() FROM organizations_organization",
        [str(uuid7()), user_id],
    )
    return user_id, email


def change(database: psycopg.Connection[Any], kind: str, user_id: str) -> None:
    """What an administrator or the person does, by its traces in the database."""
    statement = {
        "disabled": "UPDATE accounts_user SET is_active = false WHERE id = %s",
        "removed": "DELETE FROM organizations_membership WHERE user_id = %s",
        "password": "UPDATE accounts_user SET password = 'x', access_version = access_version + 1"
        " WHERE id = %s",
        "lowered": "UPDATE organizations_membership SET role = 'auditor' WHERE user_id = %s",
        "signed_out": "UPDATE accounts_refresh_family SET ended_at = now(), end_reason = 'revoked'"
        " WHERE user_id = %s",
    }[kind]
    database.execute(statement.encode(), [user_id])


@asynccontextmanager
async def person(
    running: FleetdUp, channel: grpc.aio.Channel, user_id: str, email: str
) -> AsyncIterator[Person]:
    """Signs somebody in everywhere."""
    async with httpx.AsyncClient(base_url=running.url) as browser:
        body = {"email": email, "password": PASSWORD, "organization": "acme"}
        tokens = (await browser.post("/api/v1/auth/login", json=body)).json()
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        made = await browser.post("/api/v1/api-keys", json={"name": "ci"}, headers=bearer)
        await sign_in_by_form(browser, email)
        cookie = "; ".join(f"{k}={v}" for k, v in browser.cookies.items())
        stream = channel.unary_stream(
            "/public.v1.FleetService/StreamDeviceEvents",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=fleet_pb2.StreamDeviceEventsResponse.FromString,
        )(fleet_pb2.StreamDeviceEventsRequest(), metadata=tuple(lower(bearer)))
        async with websockets.connect(
            f"{running.url.replace('http', 'ws')}/ws/v1",
            origin=running.url,
            additional_headers={"Cookie": cookie},
        ) as socket:
            topic = f"org.{tokens['organization']['id']}.devices"
            await socket.send(json.dumps({"op": "subscribe", "topic": topic}))
            assert "subscribed" in await socket.recv()
            one = Person(
                user_id,
                email,
                tokens["access_token"],
                tokens["refresh_token"],
                made.json()["secret"],
                browser,
                stream,
                socket,
            )
            one.stream_end = asyncio.create_task(end_of_stream(stream))
            one.socket_end = asyncio.create_task(end_of_socket(socket))
            yield one
            stream.cancel()
            for task in (one.stream_end, one.socket_end):
                task.cancel()


async def sign_in_by_form(browser: httpx.AsyncClient, email: str) -> None:
    """As a person does it."""
    page = await browser.get("/accounts/login")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)[1]
    form = {"csrfmiddlewaretoken": token, "login": email, "password": PASSWORD}
    answer = await browser.post("/accounts/login", data=form)
    assert answer.status_code == 302, answer.text


def lower(headers: dict[str, str]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers.items()]


async def end_of_stream(stream: Any) -> str:
    """The status that ends a stream, for whatever reason."""
    try:
        while await stream.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


async def end_of_socket(socket: Any) -> str:
    """How a socket ends: by being closed, or by an error on its topic."""
    with suppress(websockets.ConnectionClosed):
        async for message in socket:
            if '"error"' in message:
                return "error"
    return f"closed {socket.close_code}"


async def status_of(running: FleetdUp, **headers: str) -> int:
    async with httpx.AsyncClient(base_url=running.url) as client:
        return (await client.get("/api/v1/devices", headers=headers)).status_code


async def grpc_status(channel: grpc.aio.Channel, token: str) -> str:
    call = channel.unary_unary(
        "/public.v1.AuthService/GetMe",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=auth_pb2.GetMeResponse.FromString,
    )
    try:
        await call(auth_pb2.GetMeRequest(), metadata=(("authorization", f"Bearer {token}"),))
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


async def seen(running: FleetdUp, channel: grpc.aio.Channel, who: Person) -> dict[str, Any]:
    """What each kind of access answers now."""
    async with httpx.AsyncClient(base_url=running.url) as client:
        again = await client.post("/api/v1/auth/refresh", json={"refresh_token": who.refresh_token})
    if again.status_code == 200:
        who.refresh_token = again.json()["refresh_token"]
    session = await who.browser.get("/api/v1/devices")
    return {
        "rest": await status_of(running, Authorization=f"Bearer {who.access_token}"),
        "grpc": await grpc_status(channel, who.access_token),
        "key": await status_of(running, **{"X-API-Key": who.api_key}),
        "session": session.status_code,
        "refresh": again.status_code,
        "stream": who.stream_end.result() if who.stream_end.done() else "open",
        "socket": "ended" if who.socket_end.done() else "open",
    }


LIVE = {
    "rest": 200,
    "grpc": "OK",
    "key": 200,
    "session": 200,
    "refresh": 200,
    "stream": "open",
    "socket": "open",
}
GONE = {
    "rest": 401,
    "grpc": "UNAUTHENTICATED",
    "key": 401,
    "session": 401,
    "refresh": 401,
    "stream": "UNAUTHENTICATED",
    "socket": "ended",
}
EXPECTED = {
    "disabled": GONE,
    "removed": GONE,
    # Keys are no sign-ins: a new password leaves them.
    "password": {**GONE, "key": 200},
    "lowered": {
        **LIVE,
        "rest": 403,
        "key": 403,
        "session": 403,
        "stream": "PERMISSION_DENIED",
        "socket": "ended",
    },
    # One program's sign-in: the browser and the key are something else.
    "signed_out": {
        **LIVE,
        "rest": 401,
        "grpc": GONE["grpc"],
        "refresh": 401,
        "stream": GONE["grpc"],
    },
}


async def test_s15_a_change_shows_within_five_seconds_everywhere(
    running: FleetdUp, database: psycopg.Connection[Any]
) -> None:
    people = {kind: add_person(database, kind) for kind in CHANGES}
    async with grpc.aio.insecure_channel(running.grpc_address) as channel:
        await check(running, database, channel, people)


async def check(
    running: FleetdUp,
    database: psycopg.Connection[Any],
    channel: grpc.aio.Channel,
    people: dict[str, tuple[str, str]],
) -> None:
    async with AsyncExitStack() as stack:
        live = {
            kind: await stack.enter_async_context(person(running, channel, *who))
            for kind, who in people.items()
        }
        for who in live.values():
            before = await seen(running, channel, who)
            assert before == LIVE, who.email
        for kind, who in live.items():
            change(database, kind, who.id)
        changed_at = time.monotonic()
        await asyncio.sleep(SECONDS - (time.monotonic() - changed_at))
        for kind, who in live.items():
            assert await seen(running, channel, who) == EXPECTED[kind], kind

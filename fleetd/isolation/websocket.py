"""The WebSocket: every topic of theirs, and those that somebody would guess."""

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
from asgiref.testing import ApplicationCommunicator
from django.conf import settings

from apps.core.realtime import send_hint
from apps.core.rpc import orm
from apps.web.realtime import topics
from apps.web.realtime.consumer import BURST, PER_SECOND
from apps.web.realtime.routing import PATH, live
from fleetd.isolation.report import DoorReport
from fleetd.isolation.web_calls import nobody, session_caller
from fleetd.isolation.world import World

ANSWER_SECONDS = 5.0
SILENCE_SECONDS = 0.5


def walk_websocket(world: World, report: DoorReport) -> None:
    """Subscribes to everything of theirs; then listens while theirs speaks."""
    caller = session_caller(world.ours, report)
    cookie = caller.client.cookies[settings.SESSION_COOKIE_NAME].value
    asyncio.run(_walk(world, report, cookie))


async def _walk(world: World, report: DoorReport, cookie: str) -> None:
    socket = await _open(cookie)
    expected = {}
    try:
        for name, topic, like in foreign_topics(world):
            report.begin(topic)
            if like not in expected:
                expected[like] = await _subscribe(socket, report, like)
            got = await _subscribe(socket, report, topic)
            if '"subscribed"' in got:
                report.leak(f"topic {name}", "of theirs is subscribed to")
            elif got.replace(topic, "_") != expected[like].replace(like, "_"):
                report.leak(f"topic {name}", f"is answered {got[:90]}")
            if world.marks_in(got.replace(topic, "_"), frozenset()):
                report.leak(f"topic {name}", "its answer names theirs")
        await _listen(world, report, socket)
    finally:
        await socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await socket.wait(ANSWER_SECONDS)


def foreign_topics(world: World) -> Iterator[tuple[str, str, str]]:
    """Name, topic, and one of the same form of something that never was."""
    side, never = world.theirs, nobody()
    for part in topics.OF_ORGANIZATION:
        yield f"org.{part}", f"org.{side.id}.{part}", f"org.{never}.{part}"
    for kind in topics.OF_OBJECT:
        for name, value in side.ids.items():
            yield f"{kind} = {name}", f"{kind}.{value}", f"{kind}.{nobody(value)}"
    device = side.of("device")[0]
    for form in (
        "org.{}", "org.{}.", "org.{}.*", "*.{}", "{}", "user.{}.inbox", "job.{}", "org.*.devices",
        f"org.{world.ours.id}.devices.{{}}", f"org.{world.ours.id}/../org.{{}}.devices",
        "device.{}.logs", "DEVICE.{}", "device..{}", "device.{} ", "o{}.devices", "fleetd:gateway",
    ):  # fmt: skip
        for value in (str(side.id), device, side.mark):
            topic = form.format(value)
            yield f"guessed {form}", topic, form.format(nobody())
    upper = device.upper()
    yield "guessed in capitals", f"device.{upper}", f"device.{nobody().upper()}"


async def _listen(world: World, report: DoorReport, socket: Any) -> None:
    """Nothing that is said in theirs is heard by somebody who listens to all of ours."""
    ours, theirs = world.ours, world.theirs
    own = [f"org.{ours.id}.{part}" for part in topics.OF_ORGANIZATION]
    own += [f"{kind}.{value}" for kind in topics.OF_OBJECT for value in ours.of(kind)[:1]]
    for topic in own:
        report.begin(topic)
        said = orjson.loads(await _subscribe(socket, report, topic))
        if said.get("op") != "subscribed":
            report.skip(f"topic {topic.partition('.')[0]}", "our own cannot be subscribed to")
    spoken = [f"org.{theirs.id}.{part}" for part in topics.OF_ORGANIZATION]
    for topic in [*spoken, *own]:
        await orm(None, send_hint, theirs.id, topic, "checked", {"note": theirs.mark})
    if not await socket.receive_nothing(SILENCE_SECONDS):
        heard = (await socket.receive_output(ANSWER_SECONDS)).get("text", "")
        report.leak("hints", f"of theirs are heard: {heard[:90]}")


async def _open(cookie: str) -> Any:
    """A socket as a browser of ours opens it."""
    headers = [
        (b"host", b"localhost"),
        (b"origin", b"http://localhost"),
        (b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode()),
    ]
    scope = {
        "type": "websocket",
        "path": PATH,
        "headers": headers,
        "client": ("192.0.2.1", 4711),
        "subprotocols": [],
        "query_string": b"",
    }
    socket = ApplicationCommunicator(live, scope)
    await socket.send_input({"type": "websocket.connect"})
    answer = await socket.receive_output(ANSWER_SECONDS)
    if answer["type"] != "websocket.accept":
        raise RuntimeError(f"the socket of our own person is refused: {answer}")
    return socket


async def _subscribe(socket: Any, report: DoorReport, topic: str) -> str:
    """What a subscription is answered."""
    report.calls += 1
    if report.calls > BURST - 50:
        await asyncio.sleep(1 / PER_SECOND)  # more would end the socket
    text = orjson.dumps({"op": "subscribe", "topic": topic}).decode()
    await socket.send_input({"type": "websocket.receive", "text": text})
    answer = await socket.receive_output(ANSWER_SECONDS)
    said: str = answer.get("text") or str(answer)
    return said

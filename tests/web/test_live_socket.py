"""The socket of a tab: who may open it, what may be heard, what happens to those who overdo it."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.db import OperationalError

from apps.core.authz import Role
from apps.core.ids import uuid7
from apps.core.realtime import send_hint
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.web.realtime import consumer
from tests.factories import Cast

pytestmark = pytest.mark.django_db(transaction=True)
SocketOf = Callable[..., Any]


@pytest.fixture
def alices_cookie(alice_member: Membership, cookie_of: Callable[[Membership], str]) -> str:
    return cookie_of(alice_member)


@pytest.fixture
def bobs_cookie(bob_member: Membership, cookie_of: Callable[[Membership], str]) -> str:
    return cookie_of(bob_member)


async def hint(cast: Cast, topic: str, **data: Any) -> None:
    """A hint as a worker sends it."""
    await sync_to_async(send_hint)(cast.id, topic, "test", data)


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", "file://", "http://", "ü"])
async def test_a_foreign_page_cannot_open_a_socket(
    socket_of: SocketOf, alices_cookie: str, origin: str | None
) -> None:
    is_open, code = await socket_of(alices_cookie, origin).connect()
    assert (is_open, code) == (False, 403)


@pytest.mark.parametrize("cookie", ["", "nonsense"])
async def test_without_a_session_the_socket_is_closed_as_signed_out(
    socket_of: SocketOf, acme: Cast, cookie: str
) -> None:
    socket = socket_of(cookie)
    assert (await socket.connect())[0]
    assert await socket.closes() == 4401


async def test_there_is_no_socket_anywhere_else(socket_of: SocketOf, alices_cookie: str) -> None:
    assert not (await socket_of(alices_cookie, path="/ws/v2").connect())[0]


async def test_a_subscriber_hears_hints_of_its_topic_only(
    socket_of: SocketOf, alices_cookie: str, acme: Cast, globex: Cast
) -> None:
    socket = socket_of(alices_cookie)
    await socket.connect()
    topic = f"device.{acme.device.id}"
    assert await socket.says(op="subscribe", topic=topic) == {
        "op": "subscribed",
        "topic": topic,
        "seq": 0,
    }
    await hint(globex, topic, n=0)
    await hint(acme, f"org.{acme.id}.devices", n=1)
    await hint(acme, topic, n=2)
    heard = await socket.hears()
    assert (heard["topic"], heard["data"]) == (topic, {"n": 2})
    assert set(heard) == {"id", "seq", "time", "type", "topic", "data"}
    await socket.send({"op": "unsubscribe", "topic": topic})
    assert await socket.says(op="ping") == {"op": "pong"}
    await hint(acme, topic, n=3)
    assert await socket.hears_nothing(0.3)


async def test_who_comes_back_hears_what_was_missed_or_is_told_to_read_again(
    socket_of: SocketOf, alices_cookie: str, acme: Cast
) -> None:
    topic = f"org.{acme.id}.devices"
    for n in range(1, 4):
        await hint(acme, topic, n=n)
    socket = socket_of(alices_cookie)
    await socket.connect()
    last = (await socket.says(op="subscribe", topic=topic))["seq"]
    assert (await socket.says(op="subscribe", topic=topic, since=last - 2))["seq"] == last
    missed = [await socket.hears() for _ in range(2)]
    assert [(h["seq"], h["data"]["n"]) for h in missed] == [(last - 1, 2), (last, 3)]
    assert (await socket.says(op="subscribe", topic=topic, since=99))["op"] == "subscribed"
    assert (await socket.hears())["op"] == "resync"


async def test_topics_of_others_and_of_nobody_answer_alike(
    socket_of: SocketOf, alices_cookie: str, acme: Cast, globex: Cast
) -> None:
    socket = socket_of(alices_cookie)
    await socket.connect()
    for topic in (
        f"device.{globex.device.id}",
        f"device.{uuid7()}",
        f"org.{globex.id}.summary",
        f"org.{globex.id}.devices",
        f"org.{acme.id}.nothing",
        f"org.{acme.id}",
        f"rollout.{uuid7()}",
        f"enroll.{uuid7()}",
        f"device.{acme.device.id}.logs",
        f"DEVICE.{acme.device.id}",
        f"device.{str(acme.device.id).upper()}",
        "device.*",
        "",
        ".",
        "\x00",
    ):
        answer = await socket.says(op="subscribe", topic=topic)
        assert answer == {"op": "error", "topic": topic, "code": "not_found"}


async def test_a_right_that_is_missing_answers_like_a_topic_that_is(
    socket_of: SocketOf, bobs_cookie: str, acme: Cast
) -> None:
    socket = socket_of(bobs_cookie)
    await socket.connect()
    answer = await socket.says(op="subscribe", topic=f"org.{acme.id}.audit")
    assert answer["code"] == "not_found"


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "1", "null", '{"op": "x"}', '{"op": "subscribe", "topic": 1}', "{" * 99]
)
async def test_what_is_no_message_is_said_so_and_harms_nobody(
    socket_of: SocketOf, alices_cookie: str, text: str
) -> None:
    socket = socket_of(alices_cookie)
    await socket.connect()
    await socket.send(text)
    assert (await socket.hears())["code"] == "invalid_message"
    assert await socket.says(op="ping") == {"op": "pong"}


async def test_a_huge_frame_closes_its_own_socket_only(
    socket_of: SocketOf, alices_cookie: str
) -> None:
    first, second = socket_of(alices_cookie), socket_of(alices_cookie)
    await first.connect()
    await second.connect()
    await first.send("x" * 1_000_000)
    assert await first.closes() == 1009
    assert await second.says(op="ping") == {"op": "pong"}


async def test_bytes_close_the_socket(socket_of: SocketOf, alices_cookie: str) -> None:
    socket = socket_of(alices_cookie)
    await socket.connect()
    await socket.send(b"\x00\x01")
    assert await socket.closes() == 1003


async def test_a_flood_closes_its_own_socket_only(socket_of: SocketOf, alices_cookie: str) -> None:
    first, second = socket_of(alices_cookie), socket_of(alices_cookie)
    await first.connect()
    await second.connect()
    for _ in range(consumer.BURST + 200):
        await first.send({"op": "ping"})
    assert await first.closes() == 4429
    assert await second.says(op="ping") == {"op": "pong"}


async def test_topics_have_a_limit(
    socket_of: SocketOf, alices_cookie: str, acme: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "MAX_TOPICS", 2)
    socket = socket_of(alices_cookie)
    await socket.connect()
    answers = [
        await socket.says(op="subscribe", topic=topic)
        for topic in (
            f"device.{acme.devices[0].id}",
            f"device.{acme.devices[1].id}",
            f"org.{acme.id}.devices",
        )
    ]
    assert answers[-1]["code"] == "too_many_topics"
    assert [a["op"] for a in answers[:2]] == ["subscribed"] * 2


async def test_signing_out_closes_the_socket(
    socket_of: SocketOf, alices_cookie: str, acme: Cast
) -> None:
    socket = socket_of(alices_cookie)
    await socket.connect()
    await sync_to_async(Session.objects.all().delete)()
    assert await socket.closes() == 4401


async def test_leaving_the_organization_closes_the_socket(
    socket_of: SocketOf, alice_member: Membership, alices_cookie: str, acme: Cast
) -> None:
    socket = socket_of(alices_cookie)
    await socket.connect()
    await socket.says(op="subscribe", topic=f"org.{acme.id}.devices")

    def leave() -> None:
        with tenant(acme.id):
            alice_member.delete()

    await sync_to_async(leave)()
    assert await socket.closes() == 4401


async def test_a_right_that_is_lost_closes_its_topics(
    socket_of: SocketOf, alice_member: Membership, alices_cookie: str, acme: Cast
) -> None:
    socket = socket_of(alices_cookie)
    await socket.connect()
    devices, trail = f"org.{acme.id}.devices", f"org.{acme.id}.audit"
    await socket.says(op="subscribe", topic=devices)
    await socket.says(op="subscribe", topic=trail)

    def demote() -> None:
        with tenant(acme.id):
            alice_member.role = Role.AUDITOR
            alice_member.save(update_fields=["role"])

    await sync_to_async(demote)()
    assert await socket.hears() == {"op": "error", "topic": devices, "code": "not_found"}
    await hint(acme, devices, n=1)
    await hint(acme, trail, n=2)
    assert (await socket.hears())["topic"] == trail


async def test_a_right_that_is_lost_while_the_database_is_away_closes_its_topics_afterwards(
    socket_of: SocketOf,
    alice_member: Membership,
    alices_cookie: str,
    acme: Cast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    socket = socket_of(alices_cookie)
    await socket.connect()
    devices = f"org.{acme.id}.devices"
    await socket.says(op="subscribe", topic=devices)
    audible, failures = consumer.audible, [OperationalError("away")]

    def away_once(*asked: Any) -> Any:
        if failures:
            raise failures.pop()
        return audible(*asked)

    monkeypatch.setattr(consumer, "audible", away_once)

    def demote() -> None:
        with tenant(acme.id):
            alice_member.role = Role.AUDITOR
            alice_member.save(update_fields=["role"])

    await sync_to_async(demote)()
    assert await socket.hears() == {"op": "error", "topic": devices, "code": "not_found"}
    assert not failures

"""Hints: numbered per topic, kept for a while, never in the way."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from apps.core import realtime
from apps.core.ids import uuid7
from tests.devices.support import roll_back
from tests.factories import Cast


@pytest.fixture(autouse=True)
def _client(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime, "_client", None)


def send(organization_id: Any, topic: str, number: int) -> None:
    realtime.send_hint(organization_id, topic, "tests.changed", {"n": number})


def test_hints_are_numbered_by_topic_and_organization() -> None:
    one, other = uuid7(), uuid7()
    send(one, "a", 0)
    first = realtime.last_sequence(one, "a")
    assert realtime.last_sequence(one, "b") == realtime.last_sequence(other, "a") == 0
    for number in range(3):
        send(one, "a", number)
        send(one, "b", number)
    assert realtime.last_sequence(one, "a") == first + 3


def test_numbers_go_on_upwards_after_valkey_has_lost_them() -> None:
    """A tab takes a hint with a smaller number than its last for one that it has seen."""
    organization_id = uuid7()
    for number in range(3):
        send(organization_id, "a", number)
    last = realtime.last_sequence(organization_id, "a")
    group = realtime.group_name(organization_id, "a")
    realtime._redis().delete(f"hint-seq:{group}", f"hints:{group}")
    deadline = time.monotonic() + 5
    while time.time() * 1000 <= last + 1:
        assert time.monotonic() < deadline
    send(organization_id, "a", 3)
    assert realtime.last_sequence(organization_id, "a") > last
    assert realtime.hints_since(organization_id, "a", last) is None


def test_a_reader_that_comes_back_gets_what_it_missed() -> None:
    organization_id = uuid7()
    for number in range(4):
        send(organization_id, "a", number)
    last = realtime.last_sequence(organization_id, "a")
    missed = realtime.hints_since(organization_id, "a", last - 2)
    assert missed is not None
    assert [(h["seq"], h["data"]["n"]) for h in missed] == [(last - 1, 2), (last, 3)]
    assert {"id", "seq", "time", "type", "topic", "data"} == set(missed[0])
    assert realtime.hints_since(organization_id, "a", last) == []


@pytest.mark.parametrize("since", [0, 2**52])
def test_a_reader_that_missed_too_much_reads_again(
    since: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime, "KEPT_HINTS", 2)
    organization_id = uuid7()
    for number in range(4):
        send(organization_id, "a", number)
    assert realtime.hints_since(organization_id, "a", since) is None


def test_without_valkey_nothing_fails(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1"
    send(uuid7(), "a", 1)
    realtime._publish(b"{}")


def test_gateways_hear_of_what_was_committed_only(
    acme: Cast, redis_url: str, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    listener = redis.Redis.from_url(redis_url).pubsub(ignore_subscribe_messages=True)
    listener.subscribe(realtime.GATEWAY_CHANNEL)
    listener.get_message(timeout=5)
    device_id = uuid7()
    with django_capture_on_commit_callbacks(execute=True):
        roll_back(acme.id, lambda: realtime.notify_gateways("revoked", device_id=uuid7()))
        realtime.notify_gateways("revoked", device_id=device_id)
    heard = listener.get_message(timeout=5)
    assert heard is not None
    assert json.loads(heard["data"]) == {"kind": "revoked", "device_id": str(device_id)}
    assert listener.get_message(timeout=0.05) is None

"""Streams, heartbeats and deadlines."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine

from apps.core import clock
from apps.core.actors import Actor, ActorKind, system_actor
from apps.core.errors import PermissionDenied
from apps.core.ids import uuid7
from apps.devices.domain.connectivity import explain
from apps.devices.models import Device, DeviceState
from apps.devices.services import live
from apps.devices.services.devices import decommission_device, quarantine_device
from apps.devices.types import Beat, Closing, Opening
from apps.enrollment.selectors import device_actor
from tests.devices.support import actions, assert_totals, events
from tests.enrollment.conftest import CALL
from tests.factories import Cast

pytestmark = pytest.mark.usefixtures("in_acme")


def state_of(device: Device) -> DeviceState:
    return DeviceState.objects.for_org(device.organization_id).get(device_id=device.id)


def hello(device: Device, session: Any = None, **values: Any) -> Any:
    """A device connects; the answer is its session."""
    session = session or uuid7()
    opening = Opening(device.id, session, **{"heartbeat_seconds": 60, **values})
    assert live.open_sessions(device.organization_id, [opening]) == {session}
    return session


def beat(device: Device, session: Any, **values: Any) -> list[Any]:
    return live.flush_beats(device.organization_id, [Beat(device.id, session, **values)])


def at(seconds: float, start: datetime | None = None) -> Any:
    return time_machine.travel((start or clock.now()) + timedelta(seconds=seconds), tick=False)


def test_hello_brings_a_device_online(acme: Cast) -> None:
    before = clock.now()
    hello(acme.device, ip_address="192.0.2.5", boot_id="b-1", agent_version="1.2.3")
    state = state_of(acme.device)
    assert (state.connectivity, state.ip_address, state.boot_id) == ("online", "192.0.2.5", "b-1")
    assert state.last_seen_at >= before
    assert state.offline_at == state.last_seen_at + timedelta(seconds=180)
    assert Device.objects.for_org(acme.id).get(id=acme.device.id).agent_version == "1.2.3"
    assert events(acme.id, "online") == [
        {"device_id": str(acme.device.id), "connectivity": "online"}
    ]
    assert actions(acme.id) == []
    assert_totals(acme.id)


def test_the_newest_stream_wins(acme: Cast) -> None:
    old, new = uuid7(), uuid7()
    old, new = sorted([old, new])
    hello(acme.device, new)
    assert live.open_sessions(acme.id, [Opening(acme.device.id, old, 60)]) == set()
    beat(acme.device, old, cpu_ratio=0.9)
    assert state_of(acme.device).cpu_ratio == 0
    assert not live.close_session(
        system_actor(acme.id), acme.device.id, old, reason="", is_graceful=True
    )
    assert state_of(acme.device).connectivity == "online"


def test_of_two_streams_in_one_batch_the_newest_wins(acme: Cast) -> None:
    old, new = sorted([uuid7(), uuid7()])
    openings = [Opening(acme.device.id, session, 60) for session in (new, old)]
    assert live.open_sessions(acme.id, openings) == {new}


def test_a_heartbeat_moves_the_deadline_and_keeps_what_it_says(acme: Cast) -> None:
    session, start = hello(acme.device), clock.now()
    with at(30, start):
        moved = beat(
            acme.device,
            session,
            cpu_ratio=0.25,
            memory_ratio=0.5,
            disk_ratio=0.75,
            temperature_celsius=41.5,
            uptime_seconds=2**32,
        )
        now = clock.now()
    state = state_of(acme.device)
    assert moved == []
    assert (state.last_seen_at, state.offline_at) == (now, now + timedelta(seconds=180))
    assert (state.cpu_ratio, state.memory_ratio, state.disk_ratio) == (0.25, 0.5, 0.75)
    assert (state.temperature_celsius, state.uptime_seconds) == (41.5, 2**32)
    beat(acme.device, session)
    assert state_of(acme.device).temperature_celsius is None


def test_a_flush_is_one_statement_when_nothing_changes(
    acme: Cast, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    sessions = [(d, hello(d)) for d in acme.devices]
    statements: list[str] = []
    run = live._run
    monkeypatch.setattr(live, "_run", lambda s, p: statements.append(s) or run(s, p))
    with django_assert_num_queries(0):
        live.flush_beats(acme.id, [Beat(d.id, s) for d, s in sessions])
    assert len(statements) == 1


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"disk_ratio": 0.97}, "disk is 97% full"),
        ({"clock_skew_seconds": -400.0}, "clock is 400 s behind"),
    ],
)
def test_a_device_with_something_wrong_is_degraded_and_says_why(
    acme: Cast, values: dict[str, float], why: str
) -> None:
    session = hello(acme.device)
    assert [m.after for m in beat(acme.device, session, **values)] == ["degraded"]
    state = state_of(acme.device)
    assert why in explain(state, clock.now())
    assert_totals(acme.id)
    assert [m.after for m in beat(acme.device, session)] == ["online"]
    assert_totals(acme.id)
    assert [e["connectivity"] for e in events(acme.id, "online")] == [
        "online",
        "degraded",
        "online",
    ]


def test_a_full_disk_is_remembered_across_reconnects(acme: Cast) -> None:
    session = hello(acme.device)
    beat(acme.device, session, disk_ratio=0.99)
    hello(acme.device)
    assert state_of(acme.device).connectivity == "degraded"


def test_goodbye_is_offline_at_once_with_the_reason(acme: Cast) -> None:
    session = hello(acme.device)
    closed = live.close_session(
        system_actor(acme.id), acme.device.id, session, reason="shutting down", is_graceful=True
    )
    state = state_of(acme.device)
    assert closed
    assert state.connectivity == "offline"
    assert explain(state, clock.now()).endswith("said goodbye: shutting down")
    assert events(acme.id, "offline")[0]["reason"] == "said goodbye: shutting down"
    beat(acme.device, session)  # still in the gateway's memory
    assert state_of(acme.device).connectivity == "offline"
    assert_totals(acme.id)


def test_a_lost_connection_waits_for_the_deadline(acme: Cast) -> None:
    session, start = hello(acme.device), clock.now()
    actor = system_actor(acme.id)
    live.close_session(actor, acme.device.id, session, reason="reset by peer", is_graceful=False)
    assert state_of(acme.device).connectivity == "online"
    assert events(acme.id, "offline") == []
    with at(170, start):
        assert live.sweep_offline(actor) == 0
    with at(185, start):
        assert live.sweep_offline(actor) == 1
        assert live.sweep_offline(actor) == 0
        sentence = explain(state_of(acme.device), clock.now())
    assert "expected every 60 s · missed 3 · reset by peer" in sentence
    reason = events(acme.id, "offline")[0]["reason"]
    assert reason.startswith("no heartbeat since ")
    assert reason.endswith("expected every 60 s, missed 3 (reset by peer)")
    assert_totals(acme.id)


def test_a_device_that_falls_silent_is_offline_by_its_deadline(acme: Cast) -> None:
    hello(acme.device, heartbeat_seconds=2)  # at least ten seconds of grace
    start = clock.now()
    with at(9, start):
        assert live.sweep_offline(system_actor(acme.id)) == 0
    with at(11, start):
        assert live.sweep_offline(system_actor(acme.id)) == 1
        assert "expected every 2 s · missed 5" in explain(state_of(acme.device), clock.now())


def test_a_late_heartbeat_brings_a_device_back(acme: Cast) -> None:
    session, start = hello(acme.device), clock.now()
    with at(200, start):
        live.sweep_offline(system_actor(acme.id))
        assert [m.after for m in beat(acme.device, session)] == ["online"]
        state = state_of(acme.device)
        assert (state.connected_at, state.disconnect_reason) == (clock.now(), "")
    assert_totals(acme.id)


def test_totals_follow_lifecycle_and_connectivity_together(acme: Cast, erin: Actor) -> None:
    session = hello(acme.device)
    hello(acme.devices[1])
    quarantine_device(erin, acme.device.id, reason="odd")
    beat(acme.device, session, disk_ratio=0.99)
    decommission_device(erin, acme.devices[1].id, reason="")
    assert_totals(acme.id)


def test_beats_of_another_organizations_device_change_nothing(acme: Cast) -> None:
    # As if a gateway mixed two organizations up: the database sees acme's rows only.
    stranger = uuid7()
    assert live.open_sessions(acme.id, [Opening(stranger, uuid7(), 60)]) == set()
    assert live.flush_beats(acme.id, [Beat(stranger, uuid7())]) == []


def test_a_device_speaks_for_itself_only(acme: Cast) -> None:
    actor = device_actor(acme.id, acme.devices[0].id, CALL)
    other = acme.devices[1].id
    assert actor.kind is ActorKind.DEVICE
    with pytest.raises(PermissionDenied):
        live.open_session(actor, Opening(other, uuid7(), 60))
    with pytest.raises(PermissionDenied):
        live.close_session(actor, other, uuid7(), reason="", is_graceful=True)
    assert live.open_session(actor, Opening(acme.devices[0].id, uuid7(), 60))


def test_people_cannot_speak_for_devices(acme: Cast, alice: Actor) -> None:
    with pytest.raises(PermissionDenied):
        live.open_session(alice, Opening(acme.device.id, uuid7(), 60))
    with pytest.raises(PermissionDenied):
        live.sweep_offline(alice)


def test_nul_characters_from_a_device_are_harmless(acme: Cast) -> None:
    session = hello(acme.device, boot_id="\x00", agent_version="1\x00")
    live.close_sessions(acme.id, [Closing(acme.device.id, session, "\x00", True)])
    assert state_of(acme.device).connectivity == "offline"


def test_nothing_to_write_writes_nothing(acme: Cast) -> None:
    assert live.open_sessions(acme.id, []) == set()
    assert live.flush_beats(acme.id, []) == []
    assert live.close_sessions(acme.id, []) == set()


def test_device_rows_are_updated_in_place(acme: Cast, owner_connection: Any) -> None:
    """No index holds a column that a heartbeat changes, and pages have room."""
    options = owner_connection.execute(
        "SELECT reloptions FROM pg_class WHERE relname = 'devices_device_state'"
    ).fetchone()[0]
    indexed = owner_connection.execute(
        "SELECT DISTINCT a.attname FROM pg_index i JOIN pg_attribute a"
        " ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)"
        " WHERE i.indrelid = 'devices_device_state'::regclass"
    ).fetchall()
    assert options == ["fillfactor=70"]
    assert {row[0] for row in indexed} == {"organization_id", "device_id", "connectivity"}

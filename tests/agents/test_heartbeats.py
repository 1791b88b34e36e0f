"""The hand-written rules for heartbeats are those of the proto; nothing is lost in between."""

import uuid
from datetime import UTC, datetime

import protovalidate
import pytest
from django.db import OperationalError
from hypothesis import given
from hypothesis import strategies as st

from apps.agents.beats import Beats
from apps.agents.identity import PeerCertificate
from apps.agents.messages import is_sane
from apps.agents.options import Options
from apps.agents.session import Session
from apps.devices.types import Beat
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb

RATIO = st.floats(width=32) | st.floats(min_value=0, max_value=1, width=32)


@given(
    cpu=RATIO,
    memory=RATIO,
    disk=RATIO,
    celsius=st.none() | st.floats(width=32) | st.sampled_from([-273.15, 1000.0, 1000.1]),
    uptime=st.integers(min_value=0, max_value=2**64 - 1) | st.sampled_from([2**32 - 1, 2**32]),
)
def test_heartbeats_are_sane_exactly_where_the_proto_says_so(
    cpu: float, memory: float, disk: float, celsius: float | None, uptime: int
) -> None:
    beat = pb.Heartbeat(
        cpu_ratio=cpu,
        memory_ratio=memory,
        disk_ratio=disk,
        temperature_celsius=celsius,
        uptime_seconds=uptime,
    )
    try:
        protovalidate.validate(beat)
    except protovalidate.ValidationError:
        assert not is_sane(beat)
    else:
        assert is_sane(beat)


@pytest.mark.django_db(transaction=True)
async def test_while_postgresql_is_away_the_newest_heartbeat_of_each_device_is_kept() -> None:
    stored: list[Beat] = []
    failures = [OperationalError("away"), OperationalError("away")]

    def flush(organization_id: uuid.UUID, beats: list[Beat]) -> None:
        if failures:
            raise failures.pop()
        stored.extend(beats)

    beats = Beats(flush, Options(flush_seconds=0.01), lambda *_: None)
    now = datetime.now(UTC)
    certificate = PeerCertificate("spiffe://x", "1", now, now)
    organization_id = uuid.uuid4()
    sessions = [Session(organization_id, uuid.uuid4(), certificate, Options()) for _ in range(3)]
    for ratio in (0.25, 0.5, 0.75):
        for session in sessions:
            beats.take(session, pb.Heartbeat(cpu_ratio=ratio))
        await beats.settle()
    assert sorted(b.cpu_ratio for b in stored) == [0.75, 0.75, 0.75]
    assert {b.device_id for b in stored} == {s.device_id for s in sessions}

"""One gateway process of a benchmark: `python -m bench.gateway.serve <mode> <port> <counts>`.

Modes: `product` is the product; `nothing` reads and checks heartbeats and forgets them; `update`
writes each with one ORM UPDATE. All three share TLS, streams and message handling.
"""

import asyncio
import os
import struct
import sys
import time
from datetime import timedelta
from typing import Any

os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-RSA-AES256-GCM-SHA384"
os.environ["GRPC_VERBOSITY"] = "NONE"

# When, heartbeats taken, streams open, processor seconds spent by this process.
COUNTS = struct.Struct("<dQQd")
UNLIMITED = 10**9


def main() -> None:
    """Serves until it is terminated."""
    import django
    import uvloop

    mode, port, counts = sys.argv[1:]
    os.environ["FLEETD_AGENT_LISTEN"] = f"127.0.0.1:{port}"
    os.environ["FLEETD_GRPC_LISTEN"] = "127.0.0.1:0"
    django.setup()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(mode, counts))


async def _serve(mode: str, counts: str) -> None:
    from apps.agents.options import Options
    from fleetd.rpc import server

    options = Options(messages_per_second=UNLIMITED, message_burst=UNLIMITED, admissions=UNLIMITED)
    if mode == "update":
        server.AgentServicer = _per_beat()  # type: ignore[misc]
    servers = await server.start(options)
    beats = servers.gateway.beats
    if mode == "nothing":
        _forget(beats)
    file = os.open(counts, os.O_RDWR | os.O_CREAT)
    while True:
        streams = len(servers.gateway.sessions)
        now, spent = time.monotonic(), time.process_time()
        os.pwrite(file, COUNTS.pack(now, beats.received, streams, spent), 0)
        await asyncio.sleep(0.05)


def _forget(beats: Any) -> None:
    """Heartbeats are counted, and that is all."""

    def take(session: object, heartbeat: object) -> None:
        beats.received += 1

    beats.take = take


def _per_beat() -> type:
    """The servicer that writes each heartbeat by itself."""
    from apps.agents.messages import is_sane
    from apps.agents.rpc.agent import AgentServicer
    from apps.core import clock
    from apps.core.rpc import orm
    from apps.devices.models import DeviceState

    def update(session: Any, beat: Any) -> None:
        now = clock.now()
        DeviceState.objects.for_org(session.organization_id).filter(
            device_id=session.device_id, session_id=session.session_id
        ).update(
            last_seen_at=now,
            offline_at=now + timedelta(seconds=60),
            cpu_ratio=beat.cpu_ratio,
            memory_ratio=beat.memory_ratio,
            disk_ratio=beat.disk_ratio,
            uptime_seconds=beat.uptime_seconds,
        )

    class PerBeat(AgentServicer):
        async def _read(self, session: Any, requests: Any) -> None:
            beats = self._gateway.beats
            async for request in requests:
                self._count(session, request)
                if request.WhichOneof("payload") == "heartbeat" and is_sane(request.heartbeat):
                    await orm(session.organization_id, update, session, request.heartbeat)
                    beats.received += 1

    return PerBeat


if __name__ == "__main__":
    main()

"""One gateway process of a benchmark: `python -m bench.gateway.serve <mode> <port> <counts>`.

Modes: `product` is the product; `nothing` reads and checks heartbeats and forgets them; `update`
writes each with one ORM UPDATE. All three share TLS, streams and message handling. `bare` is
grpc.aio with the same TLS and a handler that does nothing but read.
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

    if mode == "bare":
        await _serve_bare(counts)
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


async def _serve_bare(counts: str) -> None:
    """grpc.aio by itself: what a stream costs before any line of ours."""
    import grpc
    from django.conf import settings

    from apps.enrollment.services.authority import load_gateway_tls
    from fleetd.pb.internal.agent.v1 import agent_pb2 as pb
    from fleetd.rpc import server

    welcome = pb.ConnectResponse(welcome=pb.Welcome()).SerializeToString()
    streams = 0

    async def connect(_: object, context: Any) -> None:
        nonlocal streams
        await context.read()
        await context.write(welcome)
        streams += 1
        while await context.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]
            pass

    bare = grpc.aio.server(options=server.SERVER_OPTIONS)
    handlers = {"Connect": grpc.stream_stream_rpc_method_handler(connect)}
    name = "internal.agent.v1.AgentService"
    bare.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    credentials = server.agent_credentials(load_gateway_tls())
    bare.add_secure_port(str(settings.AGENT_LISTEN), credentials)
    await bare.start()
    file = os.open(counts, os.O_RDWR | os.O_CREAT)
    while True:
        os.pwrite(file, COUNTS.pack(time.monotonic(), 0, streams, time.process_time()), 0)
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

"""The gateway process: the agent port with mutual TLS and the public gRPC port.

Several may run side by side on the same ports (SO_REUSEPORT).
"""

import asyncio
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import start_http_server

from apps.agents import backend
from apps.agents.gateway import Gateway
from apps.agents.options import Options
from apps.agents.rpc.agent import AgentServicer
from apps.core.actors import Source
from apps.enrollment.services.authority import GatewayTls, load_gateway_tls
from fleetd.rpc import validation
from fleetd.rpc.authentication import Credentials
from fleetd.rpc.bridge import add_service
from fleetd.rpc.health import examine
from fleetd.rpc.interceptors import around
from fleetd.rpc.limits import SERVER_OPTIONS
from fleetd.rpc.registry import AGENT_SERVICE, Door, at_door

log = structlog.get_logger(__name__)

STOP_SECONDS = 8.0
HEALTH_SECONDS = 5.0
UNHEALTHY_AFTER = 3


class StartError(Exception):
    """The gateway cannot start; the message is for the person who runs it."""


@dataclass(slots=True)
class Servers:
    """What a gateway process listens with."""

    gateway: Gateway
    agent: grpc.aio.Server
    public: grpc.aio.Server
    health: Any
    agent_port: int = 0
    grpc_port: int = 0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


async def run() -> None:
    """Serves until SIGTERM or SIGINT, then stops in order."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    _serve_metrics()
    servers = await start(Options(heartbeat_seconds=settings.HEARTBEAT_SECONDS))
    log.info("gateway_started", agent_port=servers.agent_port, grpc_port=servers.grpc_port)
    await stopping.wait()
    log.info("gateway_stopping", devices=len(servers.gateway.sessions))
    await stop(servers)
    log.info("gateway_stopped")


async def start(options: Options, *, platform: Any = backend) -> Servers:
    """Opens both ports."""
    servers = Servers(
        gateway=Gateway(platform, options),
        agent=grpc.aio.server(options=SERVER_OPTIONS),
        public=grpc.aio.server(options=SERVER_OPTIONS),
        health=grpc_health.aio.HealthServicer(),  # type: ignore[attr-defined]
    )
    servicer = AgentServicer(servers.gateway, validation.check)
    interceptors = around(Door.AGENT.value, Source.AGENT, Credentials.CERTIFICATE)
    add_service(servers.agent, AGENT_SERVICE, servicer, interceptors)
    for server, door in ((servers.agent, Door.AGENT), (servers.public, Door.GRPC)):
        for service in at_door(door):
            chain = around(door.value, service.source, service.credentials)
            add_service(server, service.descriptor, service.servicer(), chain)
        health_pb2_grpc.add_HealthServicer_to_server(servers.health, server)
    servers.agent_port = _listen_for_agents(servers.agent)
    servers.grpc_port = _listen_in_public(servers.public)
    servers.gateway.start()
    servers.tasks.append(asyncio.create_task(_keep_health(servers.health)))
    await servers.agent.start()
    await servers.public.start()
    return servers


async def stop(servers: Servers) -> None:
    """Says no to load balancers, sends devices elsewhere, ends what is left."""
    for task in servers.tasks:
        task.cancel()
    await asyncio.gather(*servers.tasks, return_exceptions=True)
    await servers.health.enter_graceful_shutdown()
    public = asyncio.create_task(servers.public.stop(STOP_SECONDS / 2))
    await servers.gateway.stop()
    await asyncio.gather(public, servers.agent.stop(1.0))


def agent_credentials(tls: GatewayTls) -> grpc.ServerCredentials:
    """Mutual TLS, with TLS 1.3 only.

    gRPC cannot be told a lowest version. `fleetd.rpc.__main__` allows one TLS 1.2 suite, which
    needs an RSA certificate; ours is ECDSA, so no TLS 1.2 handshake can succeed (ADR 0013).
    """
    if not isinstance(load_pem_private_key(tls.key_pem, None), ec.EllipticCurvePrivateKey):
        raise StartError("the gateway's certificate must have an ECDSA key")
    return grpc.ssl_server_credentials(
        [(tls.key_pem, tls.chain_pem)], root_certificates=tls.trusted_pem, require_client_auth=True
    )


def _listen_for_agents(server: grpc.aio.Server) -> int:
    address = str(settings.AGENT_LISTEN)
    return _bound(address, lambda: server.add_secure_port(address, agent_credentials(_tls())))


def _tls() -> GatewayTls:
    return load_gateway_tls()


def _listen_in_public(server: grpc.aio.Server) -> int:
    """Plaintext on loopback only; elsewhere with the certificate that the operator has given."""
    address = str(settings.GRPC_LISTEN)
    chain, key = settings.TLS_CERT_FILE, settings.TLS_KEY_FILE
    if chain and key:
        pair = (Path(key).read_bytes(), Path(chain).read_bytes())
        credentials = grpc.ssl_server_credentials([pair])
        return _bound(address, lambda: server.add_secure_port(address, credentials))
    if not settings.GRPC_LISTEN.is_loopback:
        raise StartError(
            f"FLEETD_GRPC_LISTEN={address} is not on loopback: "
            "set FLEETD_TLS_CERT_FILE and FLEETD_TLS_KEY_FILE"
        )
    return _bound(address, lambda: server.add_insecure_port(address))


def _bound(address: str, bind: Any) -> int:
    try:
        port: int = bind()
    except RuntimeError as error:
        raise StartError(f"cannot listen on {address}") from error
    return port


def _serve_metrics() -> None:
    """This process's own counters, where the operator wants them."""
    address = settings.GATEWAY_METRICS_LISTEN
    if address is None:
        return
    try:
        start_http_server(address.port, address.host)
    except OSError as error:
        raise StartError(f"cannot listen on {address}") from error


async def _keep_health(health: Any) -> None:
    """Keeps grpc.health.v1 true: serving while PostgreSQL can be reached.

    One failed look is not enough: while thousands of devices come back, a look may have to wait
    longer than it may take, and a load balancer that turned away then would make it worse.
    """
    status = health_pb2.HealthCheckResponse
    failures = 0
    while True:
        _, is_serving = await examine()
        failures = 0 if is_serving else failures + 1
        is_away = failures >= UNHEALTHY_AFTER
        await health.set("", status.NOT_SERVING if is_away else status.SERVING)
        await asyncio.sleep(HEALTH_SECONDS)

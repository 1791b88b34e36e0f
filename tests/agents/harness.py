"""Devices that speak the agent port's protocol, and gateways for them to speak to."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from apps.core.actors import system_actor
from apps.core.tenancy import tenant
from apps.devices.models import Device
from apps.enrollment.domain import ca
from apps.enrollment.services.authority import ensure_authority, load_authority
from apps.enrollment.services.certificates import issue_certificate
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb

CONNECT = "/internal.agent.v1.AgentService/Connect"
RENEW = "/internal.agent.v1.AgentService/RenewCertificate"
PATIENCE = 15.0


@dataclass(frozen=True)
class Machine:
    """A device with its key and certificate."""

    device: Device
    key_pem: str
    chain_pem: str
    root_pem: str

    @property
    def id(self) -> UUID:
        """The device's id."""
        return self.device.id

    @property
    def serial(self) -> str:
        """The serial number of its certificate."""
        return ca.serial_text(x509.load_pem_x509_certificates(self.chain_pem.encode())[0])

    def channel(self, port: int) -> grpc.aio.Channel:
        """A connection of its own to a gateway."""
        return secure_channel(port, self.root_pem, self.key_pem, self.chain_pem)


def machine(device: Device) -> Machine:
    """Gives a device a certificate of the platform's own authority."""
    ensure_authority()
    key = ca.new_key()
    with tenant(device.organization_id):
        actor = system_actor(device.organization_id)
        certificate = issue_certificate(actor, device, key.public_key())
    root = ca.pem(load_authority().root)
    return Machine(device, ca.key_pem(key), certificate.chain_pem, root)


def secure_channel(
    port: int, root_pem: str, key_pem: str | None, chain_pem: str | None
) -> grpc.aio.Channel:
    """A channel with any client certificate, or none."""
    credentials = grpc.ssl_channel_credentials(
        root_pem.encode(),
        key_pem.encode() if key_pem else None,
        chain_pem.encode() if chain_pem else None,
    )
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options)


def signing_request(key: ca.Key) -> str:
    """A certificate signing request that asks for nothing."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.sign(key, hashes.SHA256())
    from cryptography.hazmat.primitives.serialization import Encoding

    return request.public_bytes(Encoding.PEM).decode()


class Line:
    """A device's stream, from the device's side."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Any = None) -> None:
        connect = channel.stream_stream(
            CONNECT,
            request_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
            response_deserializer=pb.ConnectResponse.FromString,
        )
        self.call = connect(metadata=metadata)
        self.sequence = 0

    async def send(self, **payload: Any) -> int:
        """Sends the next message; answers its number."""
        self.sequence += 1
        await self.call.write(pb.ConnectRequest(sequence=self.sequence, **payload))
        return self.sequence

    async def hello(self, **fields: Any) -> pb.Welcome:
        """Says hello and waits for the welcome."""
        await self.send(hello=pb.Hello(agent_version="1.2.3", boot_id="boot-1", **fields))
        return (await self.receive("welcome")).welcome

    async def beat(self, **fields: float) -> int:
        """Sends a heartbeat."""
        values = {"cpu_ratio": 0.5, "memory_ratio": 0.25, "disk_ratio": 0.1, **fields}
        return await self.send(heartbeat=pb.Heartbeat(**values))

    async def receive(self, kind: str) -> pb.ConnectResponse:
        """The next message of this kind; others are passed over."""
        async with asyncio.timeout(PATIENCE):
            while True:
                response = await self.call.read()
                if response is grpc.aio.EOF:
                    raise AssertionError(f"no {kind}: {await self.ending()}")
                if response.WhichOneof("payload") == kind:
                    return response

    async def ending(self) -> tuple[str, str]:
        """Status and stable code with which the platform ends the stream."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self.call.read() is not grpc.aio.EOF:
                    pass
            except grpc.aio.AioRpcError:
                pass
            code = await self.call.code()
            trailers = dict(await self.call.trailing_metadata() or ())
        return code.name, str(trailers.get("fleetd-code", ""))


@asynccontextmanager
async def line(port: int, device: Machine) -> AsyncIterator[Line]:
    """A stream of a device on a connection of its own; hello is not said yet."""
    async with device.channel(port) as channel:
        opened = Line(channel)
        try:
            yield opened
        finally:
            opened.call.cancel()


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Waits until `condition` answers something true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := await condition()):
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen in time")
        await asyncio.sleep(0.02)
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A gateway as a process of its own, on the test databases."""

    def __init__(self, port: int | None = None, **variables: str) -> None:
        self.port = port or free_port()
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "fleetd.settings.test",
            "FLEETD_AGENT_LISTEN": f"127.0.0.1:{self.port}",
            "FLEETD_GRPC_LISTEN": f"127.0.0.1:{free_port()}",
            **variables,
        }
        self.child = subprocess.Popen([sys.executable, "-m", "fleetd.rpc"], env=environment)
        self._wait()

    def kill(self) -> None:
        """Ends it without a chance to tidy up."""
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def stop(self) -> int:
        """Ends it as an operator does; answers the exit code."""
        self.child.terminate()
        try:
            return self.child.wait(20)
        finally:
            self.child.kill()

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.child.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.child.kill()
        raise AssertionError("the gateway did not start")

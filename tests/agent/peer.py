"""A platform in miniature for the agent's tests: a CA, an enrollment door, an agent port.

The agent under test is a process of its own and speaks to this over real sockets, with real TLS.
"""

import asyncio
import datetime
import ipaddress
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from fleetd_agent.identity import Identity, IdentityStore, make_request
from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb

from tests.agent.support import FileServer

ROOT = Path(__file__).parents[2]
TOKEN = "fld_enr_test"
WAIT_SECONDS = 30.0
PEM = serialization.Encoding.PEM


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """A certificate authority with one level."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(_name("test root"))
            .issuer_name(_name("test root"))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=30))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(PEM).decode()

    def issue(self, public_key: Any, *, usage: Any, age_days: float = 0, days: float = 10) -> str:
        """A leaf for localhost that began `age_days` ago."""
        begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=age_days, minutes=1)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name("leaf"))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + datetime.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(PEM).decode() + self.pem


@dataclass
class Stream:
    """One connection of the agent, as the platform sees it."""

    send: Callable[[pb.ConnectResponse], Awaitable[None]]
    hello: pb.Hello
    serial: str
    received: list[pb.ConnectRequest] = field(default_factory=list)
    is_over: bool = False
    refuse: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, kind: str) -> list[Any]:
        """The payloads of one kind that came."""
        return [getattr(m, kind) for m in self.received if m.WhichOneof("payload") == kind]


class Peer:
    """The platform's side."""

    def __init__(self, files: FileServer) -> None:
        self.authority = Authority()
        self.files = files
        self.streams: list[Stream] = []
        self.csrs: list[str] = []
        # The serial numbers of renewed certificates.
        self.renewals: list[str] = []
        self.pending_answers = 0
        self.refusal: tuple[int, dict[str, str]] | None = None
        self.leaf_age_days = 0.0
        self.acknowledges = True
        self.device_id = "device-1"
        self.not_ours: set[str] = set()
        self.connect_error: grpc.StatusCode | None = None
        self.heartbeat_seconds = 1
        self.deployment = str(uuid.uuid4())
        self.port = 0
        self._server: grpc.aio.Server | None = None
        files.post = self._enroll

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Opens the agent port; the same one again after `stop`."""
        key = ec.generate_private_key(ec.SECP256R1())
        key_pem = key.private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain = self.authority.issue(key.public_key(), usage=ExtendedKeyUsageOID.SERVER_AUTH)
        credentials = grpc.ssl_server_credentials(
            [(key_pem, chain.encode())], self.authority.pem.encode(), require_client_auth=True
        )
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((self._handlers(),))
        self.port = server.add_secure_port(f"127.0.0.1:{self.port}", credentials)
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Closes the agent port and cuts its streams."""
        if self._server:
            await self._server.stop(None)

    def _handlers(self) -> grpc.GenericRpcHandler:
        methods = {
            "Connect": grpc.stream_stream_rpc_method_handler(
                self._connect, pb.ConnectRequest.FromString, pb.ConnectResponse.SerializeToString
            ),
            "RenewCertificate": grpc.unary_unary_rpc_method_handler(
                self._renew,
                pb.RenewCertificateRequest.FromString,
                pb.RenewCertificateResponse.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler("internal.agent.v1.AgentService", methods)

    def _enroll(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        message = pb.EnrollRequest.FromString(body)
        self.csrs.append(message.csr_pem)
        if self.refusal or message.token != TOKEN:
            refused = (401, {"code": "unauthenticated", "message": "token not valid"})
            status, content = self.refusal or refused
            self.answer(request, status, json.dumps(content).encode(), "application/json")
            return
        answer = pb.EnrollResponse(device_id=self.device_id, organization_id="org-1")
        if self.pending_answers:
            self.pending_answers -= 1
            answer.status, answer.retry_after_seconds = pb.ENROLLMENT_STATUS_PENDING, 1
        else:
            answer.status = pb.ENROLLMENT_STATUS_ACCEPTED
            answer.certificate_chain_pem = self._leaf(message.csr_pem, self.leaf_age_days)
            answer.root_pem, answer.agent_address = self.authority.pem, self.address
        self.answer(request, 200, answer.SerializeToString(), "application/proto")

    def answer(self, request: BaseHTTPRequestHandler, status: int, body: bytes, kind: str) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _leaf(self, csr_pem: str, age_days: float = 0.0) -> str:
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        assert csr.is_signature_valid
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        return self.authority.issue(csr.public_key(), usage=usage, age_days=age_days)

    async def _renew(self, request: pb.RenewCertificateRequest, context: Any) -> Any:
        chain = self._leaf(request.csr_pem)
        self.renewals.append(_serial(chain.encode()))
        return pb.RenewCertificateResponse(certificate_chain_pem=chain, root_pem=self.authority.pem)

    async def _connect(self, requests: AsyncIterator[Any], context: Any) -> None:
        if self.connect_error:
            await context.abort(self.connect_error, "refused by the test")
        first = await context.read()
        assert first.WhichOneof("payload") == "hello"
        assert first.sequence == 1
        pem = context.auth_context()["x509_pem_cert"][0]
        serial = _serial(pem)
        lock = asyncio.Lock()

        async def send(message: pb.ConnectResponse) -> None:
            async with lock:  # grpc refuses a second write before the first is done
                await context.write(message)

        stream = Stream(send, first.hello, serial)
        welcome = pb.Welcome(
            device_id="device-1", heartbeat_interval_seconds=self.heartbeat_seconds
        )
        welcome.server_time.GetCurrentTime()
        await send(pb.ConnectResponse(welcome=welcome))
        self.streams.append(stream)
        try:
            while (message := await context.read()) is not grpc.aio.EOF:
                stream.received.append(message)
                if message.deployment_report.deployment_id in self.not_ours:
                    trailers = (("fleetd-code", "not_your_deployment"),)
                    await context.abort(
                        grpc.StatusCode.PERMISSION_DENIED, "not yours", trailing_metadata=trailers
                    )
                await self._acknowledge(stream, message)
        finally:
            stream.is_over = True

    async def _acknowledge(self, stream: Stream, message: pb.ConnectRequest) -> None:
        if message.WhichOneof("payload") != "deployment_report" or not self.acknowledges:
            return
        report = message.deployment_report
        await stream.send(
            pb.ConnectResponse(
                acknowledgement=pb.Acknowledgement(
                    sequence=message.sequence,
                    deployment_id=report.deployment_id,
                    report_sequence=report.report_sequence,
                )
            )
        )

    def identity(self, server: str) -> Identity:
        """What enrolling would give, without the command."""
        request = make_request()
        chain = self._leaf(request.csr_pem)
        return Identity(
            server,
            self.device_id,
            "org-1",
            self.address,
            self.authority.pem,
            chain,
            request.key_pem,
        )

    # What tests wait for

    async def stream(self, number: int = 1) -> Stream:
        """The agent's `number`-th connection."""
        await until(lambda: len(self.streams) >= number)
        return self.streams[number - 1]

    def reports(self) -> list[pb.DeploymentReport]:
        """All reports on all streams."""
        return [report for stream in self.streams for report in stream.of("deployment_report")]

    async def terminal(self) -> pb.DeploymentReport:
        """The report that ends the deployment."""
        ends = (
            pb.DEPLOYMENT_STEP_SUCCEEDED,
            pb.DEPLOYMENT_STEP_FAILED,
            pb.DEPLOYMENT_STEP_ROLLED_BACK,
        )
        found = await until(lambda: [r for r in self.reports() if r.step in ends])
        return found[0]

    def component(self, name: str, kind: str, content: bytes, **more: Any) -> pb.Component:
        """A component whose file is served."""
        digest = self.files.add(content)
        options = {"version": "2.0.0", "sha256": digest, "url": f"{self.files.url}/{digest}"}
        return pb.Component(
            **{"name": name, "kind": kind, "size_bytes": len(content), **options, **more}
        )

    async def offer(self, stream: Stream, *components: pb.Component, **more: Any) -> None:
        """Offers a deployment."""
        offer = pb.DeploymentOffer(
            is_trial_unsigned=True,
            **{
                "deployment_id": self.deployment,
                "release_name": "app",
                "release_version": "2.0.0",
                "components": components,
                "lease_seconds": 60,
                **more,
            },
        )
        await stream.send(pb.ConnectResponse(deployment_offer=offer))


def _serial(pem: bytes) -> str:
    """The number of the first certificate."""
    return str(x509.load_pem_x509_certificate(pem).serial_number)


async def until(condition: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """The first true value of `condition`; fails after a deadline."""
    async with asyncio.timeout(seconds):
        while not (value := condition()):
            await asyncio.sleep(0.01)
    return value


class Device:
    """The agent as a process of its own."""

    def __init__(self, folder: Path, server: str) -> None:
        self.state = folder / "agent-state"
        self.server = server
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("FLEETD_")},
            "PYTHONPATH": str(ROOT / "agent"),
            "FLEETD_AGENT_STATE_DIR": str(self.state),
            "FLEETD_AGENT_CONFIG": str(folder / "agent.toml"),
        }

    async def command(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Runs one command of the agent to its end."""
        process = await self._spawn(*arguments, **environment)
        out, err = await asyncio.wait_for(process.communicate(), WAIT_SECONDS)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def enroll(self) -> None:
        """Enrolls with the right token."""
        arguments = ("enroll", "--server", self.server)
        code, _, err = await self.command(*arguments, FLEETD_TOKEN=TOKEN)
        assert code == 0, err

    def adopt(self, identity: Identity) -> None:
        """Has this identity, as after enrolling."""
        self.state.mkdir(mode=0o700, exist_ok=True)
        IdentityStore(self.state).save(identity)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """The agent at work."""
        process = await self._spawn("run")
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    async def _spawn(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fleetd_agent",
            *arguments,
            env=self.environment | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

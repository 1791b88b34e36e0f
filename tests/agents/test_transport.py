"""Who gets through the agent port's TLS, and what is refused behind it."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from apps.core.actors import system_actor
from apps.core.rpc import orm
from apps.devices.models import DeviceState
from apps.devices.services.devices import decommission_device
from apps.enrollment.domain import ca
from apps.enrollment.services.authority import load_authority
from apps.enrollment.services.certificates import revoke_certificates
from fleetd.rpc import server
from fleetd.rpc.server import Servers
from tests.agents.harness import Line, Machine, Process, line, secure_channel

NOW = datetime.now(UTC)


def identity(machine: Machine) -> ca.Identity:
    authority = load_authority()
    return ca.Identity(authority.installation_id, machine.device.organization_id, machine.id)


def leaf(
    machine: Machine,
    authority: ca.Authority,
    *,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    is_authority: bool = False,
    begins: datetime = NOW - timedelta(hours=1),
    ends: datetime = NOW + timedelta(days=1),
) -> tuple[str, str]:
    """A certificate that names the machine but is wrong in one way; its chain and key."""
    key = ca.new_key()
    name = x509.Name([])
    uri = x509.UniformResourceIdentifier(str(identity(machine)))
    builder = (
        x509.CertificateBuilder(authority.certificate.subject, name, key.public_key(), 4711)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    )
    certificate = builder.sign(authority.key, hashes.SHA256())
    return ca.pem(certificate) + authority.chain_pem, ca.key_pem(key)


def foreign_authority() -> ca.Authority:
    return ca.make_issuing(ca.make_root(load_authority().installation_id, NOW), NOW)


def bad_certificates(machine: Machine) -> dict[str, tuple[str | None, str | None]]:
    """Certificates that must not let anybody in, by what is wrong with them."""
    own = load_authority()
    server_auth = ExtendedKeyUsageOID.SERVER_AUTH
    return {
        "none": (None, None),
        "of another authority": leaf(machine, foreign_authority()),
        "expired": leaf(machine, own, ends=NOW - timedelta(minutes=1)),
        "not yet valid": leaf(machine, own, begins=NOW + timedelta(minutes=30)),
        "for servers only": leaf(machine, own, usage=server_auth),
        "of an authority": leaf(machine, own, is_authority=True),
        "of the issuing authority": (own.chain_pem, ca.key_pem(own.key)),
        "never issued": leaf(machine, own),
    }


async def untouched(machine: Machine) -> bool:
    organization_id = machine.device.organization_id
    rows = DeviceState.objects.for_org(organization_id)
    state = await orm(organization_id, lambda: rows.get(device_id=machine.id))
    return state.session_id is None and state.last_seen_at is None


async def test_no_other_certificate_gets_in_and_no_row_is_written(
    gateway: Servers, first: Machine
) -> None:
    for what, (chain, key) in bad_certificates(first).items():
        async with secure_channel(gateway.agent_port, first.root_pem, key, chain) as channel:
            stream = Line(channel)
            assert (await stream.ending())[0] in ("UNAVAILABLE", "UNAUTHENTICATED"), what
        assert await untouched(first), what


async def test_a_revoked_certificate_ends_the_open_stream_and_does_not_get_in_again(
    gateway: Servers, first: Machine
) -> None:
    actor = system_actor(first.device.organization_id)
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        await orm(actor, lambda: revoke_certificates(actor, first.id, reason="stolen"))
        assert await stream.ending() == ("UNAUTHENTICATED", "certificate_revoked")
    async with line(gateway.agent_port, first) as stream:
        assert await stream.ending() == ("UNAUTHENTICATED", "certificate_revoked")


async def test_a_decommissioned_device_loses_its_stream(gateway: Servers, first: Machine) -> None:
    actor = system_actor(first.device.organization_id)
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        await orm(actor, lambda: decommission_device(actor, first.id, reason="sold"))
        assert (await stream.ending())[0] == "UNAUTHENTICATED"
    async with line(gateway.agent_port, first) as stream:
        assert (await stream.ending())[0] in ("UNAUTHENTICATED", "FAILED_PRECONDITION")


async def test_a_device_gets_nothing_from_public_services(gateway: Servers, first: Machine) -> None:
    async with first.channel(gateway.agent_port) as channel:
        list_devices = channel.unary_unary("/public.v1.FleetService/ListDevices")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await list_devices(b"")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture
def process(first: Machine) -> Iterator[Process]:
    """A gateway process, which is where the version of TLS is fixed."""
    started = Process()
    yield started
    assert started.stop() == 0


@pytest.mark.parametrize(("version", "is_let_in"), [("-tls1_2", False), ("-tls1_3", True)])
def test_the_agent_port_speaks_tls_1_3_only(
    process: Process, first: Machine, tmp_path: Path, version: str, is_let_in: bool
) -> None:
    for name, text in (("key", first.key_pem), ("chain", first.chain_pem), ("ca", first.root_pem)):
        (tmp_path / name).write_text(text)
    said = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{process.port}", version, "-alpn", "h2"]
        + ["-cert", tmp_path / "chain", "-key", tmp_path / "key", "-CAfile", tmp_path / "ca"],
        input=b"",
        capture_output=True,
        timeout=20,
        check=False,
    ).stdout
    assert (b"Cipher is TLS_" in said) is is_let_in
    assert (b"Cipher is (NONE)" in said) is not is_let_in


def test_a_gateway_with_an_rsa_key_does_not_start() -> None:
    key = rsa.generate_private_key(65537, 2048)
    tls = server.GatewayTls(b"", ca.key_pem(key).encode(), b"")  # type: ignore[arg-type]
    with pytest.raises(server.StartError):
        server.agent_credentials(tls)

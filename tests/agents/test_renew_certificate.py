"""Certificates are renewed over the connection that the old one secures."""

import dataclasses

import grpc
import grpc.aio
import pytest

from apps.agents.options import Options
from apps.core.actors import system_actor
from apps.core.rpc import orm
from apps.enrollment.domain import ca
from apps.enrollment.models import Certificate
from apps.enrollment.services.certificates import revoke_certificates
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb
from fleetd.rpc.server import Servers
from tests.agents.conftest import with_options
from tests.agents.harness import RENEW, Machine, line, signing_request


async def renew(port: int, machine: Machine, csr_pem: str) -> pb.RenewCertificateResponse:
    async with machine.channel(port) as channel:
        call = channel.unary_unary(
            RENEW,
            request_serializer=pb.RenewCertificateRequest.SerializeToString,
            response_deserializer=pb.RenewCertificateResponse.FromString,
        )
        return await call(pb.RenewCertificateRequest(csr_pem=csr_pem), timeout=10)


async def test_the_new_certificate_gets_the_same_device_in(
    gateway: Servers, first: Machine
) -> None:
    key = ca.new_key()
    answer = await renew(gateway.agent_port, first, signing_request(key))
    renewed = dataclasses.replace(
        first, key_pem=ca.key_pem(key), chain_pem=answer.certificate_chain_pem
    )
    assert renewed.serial != first.serial
    async with line(gateway.agent_port, renewed) as stream:
        assert (await stream.hello()).device_id == str(first.id)


async def test_a_request_that_is_none_is_refused_with_its_code(
    gateway: Servers, first: Machine
) -> None:
    for text, code in (("nonsense", "csr_invalid"), ("", "invalid_request")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await renew(gateway.agent_port, first, text)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert dict(refused.value.trailing_metadata())["fleetd-code"] == code


async def test_a_revoked_device_gets_no_new_certificate(gateway: Servers, first: Machine) -> None:
    actor = system_actor(first.device.organization_id)
    await orm(actor, lambda: revoke_certificates(actor, first.id, reason="stolen"))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await renew(gateway.agent_port, first, signing_request(ca.new_key()))
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    rows = Certificate.objects.for_org(actor.organization_id)
    assert await orm(actor, lambda: rows.filter(device_id=first.id).count()) == 1


class TestAtTwoThirdsOfItsLife:
    """A certificate whose time for renewal has come."""

    @pytest.fixture
    def options(self, monkeypatch: pytest.MonkeyPatch) -> Options:
        """Every certificate is due at once."""
        monkeypatch.setattr("apps.agents.identity.RENEWAL_SHARE", 0.0)
        return with_options()

    async def test_the_device_is_told_to_renew(self, gateway: Servers, first: Machine) -> None:
        async with line(gateway.agent_port, first) as stream:
            await stream.hello()
            due = (await stream.receive("renewal_due")).renewal_due
            assert due.not_after.seconds > 0


class TestAtTheEndOfItsLife:
    """A certificate that ends while the stream is open."""

    async def test_the_stream_ends_with_it(
        self, gateway: Servers, first: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with line(gateway.agent_port, first) as stream:
            await stream.hello()
            monkeypatch.setattr("apps.agents.session.Session.is_expired", lambda *_: True)
            assert await stream.ending() == ("UNAUTHENTICATED", "certificate_expired")

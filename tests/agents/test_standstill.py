"""Devices of an organization that is suspended: told to wait, and back as if nothing had been."""

from apps.core.rpc import orm
from fleetd.rpc.server import Servers
from tests.agents.harness import Machine, line
from tests.factories import Cast
from tests.organizations.support import set_status


async def test_devices_wait_while_their_organization_is_suspended(
    gateway: Servers, acme: Cast, first: Machine, foreign: Machine
) -> None:
    async with line(gateway.agent_port, foreign) as other:
        await other.hello()
        async with line(gateway.agent_port, first) as present:
            await present.hello()
            await orm(None, set_status, acme, "suspended")
            assert await present.ending() == ("UNAVAILABLE", "organization_suspended")
        async with line(gateway.agent_port, first) as again:
            assert await again.ending() == ("UNAVAILABLE", "organization_suspended")
        await orm(None, set_status, acme, "active")
        async with line(gateway.agent_port, first) as resumed:
            assert (await resumed.hello()).device_id == str(first.id)
        await other.beat()  # nobody else has noticed
        assert not other.call.done()

"""PostgreSQL drops every connection while devices talk: streams stay, nothing is lost."""

import asyncio
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async

from apps.core.actors import Actor
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb
from fleetd.rpc.server import Servers
from tests.agents.harness import Machine, line
from tests.agents.work import deployment, report, roll_out
from tests.platform_servers import DATABASE, SUPERUSER, test_platform

DROP = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = %s AND pid <> pg_backend_pid()"
)


@pytest.fixture
async def drop_connections(transactional_db: None) -> Any:
    """Ends every connection to the test database, as a restart of PostgreSQL does."""

    def drop() -> None:
        with psycopg.connect(test_platform.url(SUPERUSER), autocommit=True) as connection:
            connection.execute(DROP, [DATABASE])

    yield drop
    from django.db import connections

    connections.close_all()
    # The thread of asgiref is the process's own: other tests would find its connection dead.
    await sync_to_async(connections.close_all)()


async def test_streams_outlive_their_database_connections(
    gateway: Servers, first: Machine, alice: Actor, drop_connections: Any
) -> None:
    await roll_out(alice, [first])
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        offer = (await stream.receive("deployment_offer")).deployment_offer
        for number in range(1, 16):
            step = report(offer.deployment_id, number, pb.DEPLOYMENT_STEP_DOWNLOADING)
            sent = await stream.send(deployment_report=step)
            await stream.beat(cpu_ratio=number / 16)
            if number % 5 == 0:
                await asyncio.to_thread(drop_connections)
        answer = pb.Acknowledgement()
        while answer.sequence < sent:
            answer = (await stream.receive("acknowledgement")).acknowledgement
        assert (await deployment(alice, offer.deployment_id)).report_sequence == 15
        assert gateway.gateway.sessions.get(first.id) is not None

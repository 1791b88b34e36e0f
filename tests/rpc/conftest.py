"""Both doors of the public API, with a servicer of its own where a test gives one."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import httpx
import pytest

from apps.organizations.services.authentication import forget_callers
from fleetd.pb.public.v1 import organization_connect, organization_pb2
from fleetd.rpc import bridge, web
from fleetd.rpc.authentication import Credentials
from fleetd.rpc.limits import SERVER_OPTIONS
from fleetd.rpc.registry import Door, Service, at_door
from tests.rpc.doors import Doors


@pytest.fixture(autouse=True)
def _no_remembered_keys() -> None:
    forget_callers()


@asynccontextmanager
async def open_doors(services: list[Service] | None = None) -> AsyncIterator[Doors]:
    """The doors as the product builds them, over these services or all of its own."""
    from fleetd.rpc.interceptors import around

    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    server = grpc.aio.server(options=SERVER_OPTIONS)
    for service in services or at_door(Door.GRPC):
        chain = around(Door.GRPC.value, service.source, service.credentials)
        bridge.add_service(server, service.descriptor, service.servicer(), chain)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    transport = httpx.ASGITransport(web.with_rpc(nothing, services), raise_app_exceptions=True)
    try:
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            yield Doors(client, channel)
    finally:
        await server.stop(None)


@pytest.fixture
async def doors(transactional_db: None) -> AsyncIterator[Doors]:
    """The product's own services."""
    async with open_doors() as opened:
        yield opened


@pytest.fixture
def probe(transactional_db: None) -> Callable[[object], Any]:
    """Opens the doors over one servicer that a test has made, without credentials."""

    def opened(servicer: object) -> Any:
        service = Service(
            organization_pb2.DESCRIPTOR.services_by_name["OrganizationService"],
            lambda: (servicer,),
            frozenset({Door.WEB, Door.GRPC}),
            Credentials.NONE,
            application=organization_connect.OrganizationServiceASGIApplication,
        )
        return open_doors([service])

    return opened

"""Which servicer answers which service, at which door, with which credentials."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.server import ConnectASGIApplication
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from apps.core.actors import Source
from apps.core.authz import permission_needed
from fleetd.pb.internal.agent.v1 import agent_connect, agent_pb2
from fleetd.pb.internal.fleetd.v1 import access_pb2
from fleetd.pb.internal.health.v1 import health_pb2
from fleetd.pb.public.v1 import (
    auth_connect,
    auth_pb2,
    fleet_connect,
    fleet_pb2,
    organization_connect,
    organization_pb2,
)
from fleetd.rpc.authentication import Credentials
from fleetd.rpc.naming import snake


class Door(Enum):
    """Where a service can be reached."""

    WEB = "web"
    GRPC = "grpc"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its description, its servicers, its doors and what it accepts.

    Several servicers may share one service; each answers the methods that it has.
    """

    descriptor: ServiceDescriptor
    parts: Callable[[], Sequence[object]]
    doors: frozenset[Door]
    credentials: Credentials
    source: Source = Source.RPC
    application: Callable[..., ConnectASGIApplication[Any]] | None = None

    @property
    def name(self) -> str:
        """Package and name, as in paths."""
        return self.descriptor.full_name

    def servicer(self) -> "Servicer":
        """The object whose methods answer this service."""
        return Servicer(self.descriptor, self.parts())


class Servicer:
    """Several servicers as one. A method that none of them has answers UNIMPLEMENTED."""

    def __init__(self, descriptor: ServiceDescriptor, parts: Sequence[object]) -> None:
        for method in descriptor.methods:
            name = snake(method.name)
            owners = [part for part in parts if hasattr(part, name)]
            if len(owners) > 1:
                raise RuntimeError(f"{descriptor.full_name}/{method.name} has two servicers")
            answer = getattr(owners[0], name) if owners else _unimplemented(method)
            setattr(self, name, answer)


def _unimplemented(method: MethodDescriptor) -> Callable[..., Any]:
    async def unary(request: object, ctx: object) -> object:
        raise ConnectError(Code.UNIMPLEMENTED, method.name)

    async def stream(request: object, ctx: object) -> Any:
        raise ConnectError(Code.UNIMPLEMENTED, method.name)
        yield

    return stream if method.server_streaming else unary


def _fleet() -> Sequence[object]:
    from apps.devices.rpc.servicer import DevicesServicer
    from apps.enrollment.rpc.tokens import TokensServicer
    from apps.updates.rpc.servicer import UpdatesServicer

    return (DevicesServicer(), TokensServicer(), UpdatesServicer())


def _auth() -> Sequence[object]:
    from apps.accounts.rpc.servicer import AccountsServicer
    from apps.organizations.rpc.servicer import CallerServicer

    return (CallerServicer(), AccountsServicer())


def _organization() -> Sequence[object]:
    from apps.audit.rpc.servicer import AuditServicer
    from apps.devices.rpc.servicer import GrantsServicer
    from apps.organizations.rpc.servicer import OrganizationsServicer
    from apps.teams.rpc.servicer import TeamsServicer
    from apps.web.rpc.servicer import AccessServicer

    return (
        OrganizationsServicer(),
        AuditServicer(),
        TeamsServicer(),
        GrantsServicer(),
        AccessServicer(),
    )


def _access() -> Sequence[object]:
    from apps.organizations.rpc.introspection import AccessServicer
    from apps.web.rpc.internal import CheckAccessServicer

    return (AccessServicer(), CheckAccessServicer())


def _enrollment() -> Sequence[object]:
    from apps.enrollment.rpc.enrollment import EnrollmentServicer

    return (EnrollmentServicer(),)


def _health() -> Sequence[object]:
    from fleetd.rpc.health import HealthServicer

    return (HealthServicer(),)


_PUBLIC = frozenset({Door.WEB, Door.GRPC})

SERVICES: tuple[Service, ...] = (
    Service(
        fleet_pb2.DESCRIPTOR.services_by_name["FleetService"],
        _fleet,
        _PUBLIC,
        Credentials.PUBLIC,
        application=fleet_connect.FleetServiceASGIApplication,
    ),
    Service(
        auth_pb2.DESCRIPTOR.services_by_name["AuthService"],
        _auth,
        _PUBLIC,
        Credentials.PUBLIC,
        application=auth_connect.AuthServiceASGIApplication,
    ),
    Service(
        organization_pb2.DESCRIPTOR.services_by_name["OrganizationService"],
        _organization,
        _PUBLIC,
        Credentials.PUBLIC,
        application=organization_connect.OrganizationServiceASGIApplication,
    ),
    Service(
        agent_pb2.DESCRIPTOR.services_by_name["EnrollmentService"],
        _enrollment,
        frozenset({Door.WEB}),
        Credentials.NONE,
        Source.AGENT,
        agent_connect.EnrollmentServiceASGIApplication,
    ),
    Service(
        access_pb2.DESCRIPTOR.services_by_name["AccessService"],
        _access,
        frozenset({Door.GRPC}),
        Credentials.SERVICE,
    ),
    Service(
        health_pb2.DESCRIPTOR.services_by_name["HealthService"],
        _health,
        frozenset({Door.GRPC, Door.AGENT}),
        Credentials.NONE,
    ),
)

# The agent port's own service is not here: its servicer holds the gateway of one process, which
# `fleetd.rpc.server` makes.
AGENT_SERVICE = agent_pb2.DESCRIPTOR.services_by_name["AgentService"]

WITHOUT_PERMISSION: dict[str, str] = {
    "public.v1.AuthService/GetMe": "says who is calling, to whoever is calling",
    "public.v1.AuthService/Login": "the password is the credential",
    "public.v1.AuthService/Refresh": "the refresh token is the credential",
    "internal.agent.v1.EnrollmentService/Enroll": "the enrollment token is the credential",
    "internal.agent.v1.AgentService/Connect": "the certificate says which device it is",
    "internal.agent.v1.AgentService/RenewCertificate": "the certificate says which device it is",
    "internal.fleetd.v1.AccessService/Introspect": "the service token says who is calling",
    "internal.fleetd.v1.AccessService/CheckAccess": "the service token says who is calling",
    "internal.health.v1.HealthService/Check": "load balancers have no credential",
    "internal.health.v1.HealthService/Watch": "load balancers have no credential",
}


def at_door(door: Door) -> list[Service]:
    """The services of one door."""
    return [service for service in SERVICES if door in service.doors]


def undeclared_methods() -> list[str]:
    """Methods that neither declare a permission nor stand in `WITHOUT_PERMISSION`."""
    return [
        name
        for service in SERVICES
        for method in service.descriptor.methods
        if (name := f"{service.name}/{method.name}") not in WITHOUT_PERMISSION
        and permission_needed(getattr(service.servicer(), snake(method.name))) is None
    ]

"""Who is acting: the first argument of every service."""

from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID


class ActorKind(StrEnum):
    """What kind of caller an actor is."""

    USER = "user"
    API_KEY = "api_key"
    DEVICE = "device"
    SYSTEM = "system"


class Source(StrEnum):
    """The door that a call came through."""

    UI = "ui"
    ADMIN = "admin"
    REST = "rest"
    RPC = "rpc"
    AGENT = "agent"
    CLI = "cli"
    TASK = "task"


@dataclass(frozen=True, slots=True)
class Call:
    """Where a call came from: door, client address (of the socket) and request id."""

    source: Source
    address: str | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts in one organization, with the permissions held at this moment.

    `id` is the user, API key or device; None for the system itself. `user_id` is the person
    behind it, where there is one. Actors are values: they are built by doors for one call.
    """

    kind: ActorKind
    organization_id: UUID
    label: str
    call: Call
    id: UUID | None = None
    user_id: UUID | None = None
    role: str = ""
    permissions: frozenset[str] = frozenset()

    def has_perm(self, name: str) -> bool:
        """Whether the actor may do what `name` stands for in its organization."""
        return self.kind is ActorKind.SYSTEM or name in self.permissions

    def narrowed(self, names: frozenset[str]) -> "Actor":
        """The same actor with at most the permissions in `names`."""
        return replace(self, permissions=self.permissions & names)


def system_actor(organization_id: UUID, *, source: Source = Source.TASK) -> Actor:
    """The platform itself, acting in one organization: schedulers, sweeps, subscribers."""
    return Actor(ActorKind.SYSTEM, organization_id, "fleetd", Call(source))

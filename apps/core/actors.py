"""Who is acting: the first argument of every service."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from apps.core.rights import NOWHERE, Grant, Place, Reach, decide


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
class SignIn:
    """How and when a person proved who they are.

    `methods` are the words `password`, `totp`, `recovery_code`, `passkey`, `email_code`.
    `last_seen_at` is when the session was used before this call; None for the first one.
    """

    at: datetime
    methods: frozenset[str]
    last_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts in one organization, with the permissions held at this moment.

    `id` is the user, API key or device; None for the system itself. `user_id` is the person
    behind it, where there is one. `permissions` hold in the whole organization, `grants` in some
    of its device groups only. `standstill` says why nothing can be done where the organization is
    not active: the rights are cut already. `session_id` is the sign-in behind an access token; None
    for a call that came otherwise. Actors are values: doors build them for one call.
    """

    kind: ActorKind
    organization_id: UUID
    label: str
    call: Call
    id: UUID | None = None
    user_id: UUID | None = None
    role: str = ""
    permissions: frozenset[str] = frozenset()
    grants: tuple[Grant, ...] = ()
    sign_in: SignIn | None = None
    standstill: str = ""
    session_id: UUID | None = None

    def has_perm(self, name: str) -> bool:
        """Whether the actor may do what `name` stands for in its whole organization."""
        return self.kind is ActorKind.SYSTEM or name in self.permissions

    def may(self, name: str, place: Place) -> bool:
        """Whether the actor may do what `name` stands for to an object that stands at `place`."""
        return self.has_perm(name) or bool(decide(self.grants, name, place))

    def may_somewhere(self, name: str) -> bool:
        """Whether there is anything to which the actor may do what `name` stands for."""
        return self.has_perm(name) or any(name in grant.permissions for grant in self.grants)

    def reach(self, name: str) -> Reach | None:
        """Where the actor may do what `name` stands for; None for everywhere."""
        if self.has_perm(name):
            return None
        held = [grant for grant in self.grants if name in grant.permissions]
        return Reach(
            group_ids=frozenset(g.group_id for g in held if g.group_id is not None),
            team_ids=frozenset(g.team_id for g in held if g.team_id is not None),
        )

    def narrowed(self, names: frozenset[str]) -> "Actor":
        """The same actor with at most the permissions in `names`."""
        grants = (replace(g, permissions=g.permissions & names) for g in self.grants)
        return replace(
            self,
            permissions=self.permissions & names,
            grants=tuple(g for g in grants if g.permissions),
        )

    def holds_all(self, names: frozenset[str], place: Place = NOWHERE) -> bool:
        """Whether the actor may do all of `names` at `place`: the most that it can hand on."""
        return all(self.may(name, place) for name in names)


@dataclass(frozen=True, slots=True)
class ActorHere:
    """An actor as a page about one object shows it: what can be done to this very object.

    `holds` says whether a right reaches the object. Buttons ask it; services get the actor itself.
    """

    actor: Actor
    holds: Callable[[str], bool]

    @property
    def organization_id(self) -> UUID:
        """The actor's organization."""
        return self.actor.organization_id

    def may_somewhere(self, name: str) -> bool:
        """Whether the right reaches the object."""
        return self.actor.has_perm(name) or self.holds(name)


def system_actor(organization_id: UUID, *, source: Source = Source.TASK) -> Actor:
    """The platform itself, acting in one organization: schedulers, sweeps, subscribers."""
    return Actor(ActorKind.SYSTEM, organization_id, "fleetd", Call(source))

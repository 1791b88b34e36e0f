"""The REST door: every method of every address, with foreign ids in path, query and body."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from apps.core.rest.views import OrgAPIView, UnknownResource
from fleetd.isolation import hints
from fleetd.isolation.answers import Answer, shape
from fleetd.isolation.positions import IdField, filled, foreign_ids, id_fields, own_candidates
from fleetd.isolation.report import DoorReport
from fleetd.isolation.web_calls import (
    SAFE,
    Address,
    Caller,
    Probe,
    addresses,
    anchors,
    key_caller,
    nobody,
    session_caller,
    token_caller,
    undone,
)
from fleetd.isolation.world import World

WITH_BODY = ("POST", "PUT", "PATCH")
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Route:
    """One method of one REST address."""

    method: str
    address: Address
    handler: Any

    @property
    def operation(self) -> Any:
        """The public operation behind it, None for a handler written by hand."""
        return getattr(self.handler, "operation", None)

    @property
    def permission(self) -> Any:
        """What it declares."""
        return getattr(self.handler, "permission", None)

    @property
    def noun(self) -> str:
        """What it is about: the last word of its address."""
        words = [word for word in self.address.pattern.split("/") if word and "%(" not in word]
        return words[-1]

    @property
    def fields(self) -> list[IdField]:
        """Where its query or body names objects; what stands in the path is left out."""
        if self.operation is None:
            return []
        found = id_fields(self.operation.request_class.DESCRIPTOR)
        return [f for f in found if len(f.path) > 1 or f.path[0] not in self.address.names]

    def __str__(self) -> str:
        return f"{self.method} {self.address}"


def rest_routes() -> list[Route]:
    """Every method of every REST address."""
    return [
        Route(method.upper(), address, getattr(address.view.cls, method))
        for address in addresses()
        if is_rest(address.view)
        for method in METHODS
        if hasattr(address.view.cls, method)
    ]


def is_rest(view: Any) -> bool:
    """Whether a view is a REST resource."""
    kind = getattr(view, "cls", None)
    return isinstance(kind, type) and issubclass(kind, OrgAPIView) and kind is not UnknownResource


@dataclass
class RestWalk:
    """Walks routes as one caller."""

    world: World
    caller: Caller
    is_first: bool
    in_paths: bool = True
    in_fields: bool = True
    before: dict[str, str] = field(default_factory=dict)

    def walk(self, route: Route) -> None:
        """All positions of one route; whatever it did is taken back."""
        where = f"{route} ({self.caller.name})"
        with undone():
            probe = Probe(self.world, self.caller, str(route))
            own = self.own(route)
            for name in route.address.names if self.in_paths else ():
                self._walk_path(probe, route, name, own)
            for place in route.fields if self.in_fields else ():
                self._walk_field(probe, route, place, own)
            if not route.address.names and route.method == "GET":
                probe.look(self.send(route, {}, self.body(route)), where)
            self._look_at_rows(where)

    def _walk_path(self, probe: Probe, route: Route, name: str, own: dict[str, str]) -> None:
        address = route.address
        ours = own_candidates(self.world.ours, name, address.around(name))
        is_proof = not self.is_first or address.name in hints.PATHS_WITHOUT_IDS

        def send(value: str) -> Answer:
            if not address.accepts(name, value):
                value = nobody()
            return self.send(route, {**own, name: value}, self.body(route))

        foreign = self._foreign(name, address.around(name))
        probe.compare(f"{{{name}}}", send, foreign, [] if is_proof else ours)

    def _walk_field(self, probe: Probe, route: Route, place: IdField, own: dict[str, str]) -> None:
        base = self.body(route)
        ours = own_candidates(self.world.ours, place.path[-1], route.noun)
        send = partial(self._send_with, route, own, base, place)
        foreign = foreign_ids(self.world.theirs, place.path[-1], route.noun, few=True)
        is_quiet = (route.operation.name, str(place)) in hints.QUIET
        probe.compare(str(place), send, foreign, ours if self.is_first and not is_quiet else [])

    def _foreign(self, name: str, around: str) -> dict[str, str]:
        """All ids to try; for callers after the first, who differ in how they sign in, few."""
        return foreign_ids(self.world.theirs, name, around, few=not self.is_first)

    def _send_with(
        self, route: Route, own: dict[str, str], base: dict[str, Any], place: IdField, value: str
    ) -> Answer:
        return self.send(route, own, place.put(base, value))

    def send(self, route: Route, ids: dict[str, str], body: dict[str, Any]) -> Answer:
        """One request. What a successful change did is compared and taken back at once."""
        path = route.address.at(ids)
        if route.method in SAFE:
            return self.caller.call(route.method, path, query=body)
        if route.handler.__name__ in hints.PARTS:
            return self._send_part(route, path)
        sent = None if route.method == "DELETE" and not body else body
        with undone():
            answer = self.caller.call(route.method, path, body=sent)
            if answer.status.startswith("2"):
                self._look_at_rows(f"{route} ({self.caller.name})")
        return answer

    def _send_part(self, route: Route, path: str) -> Answer:
        headers = hints.PARTS[route.handler.__name__]
        with undone():
            answer = self.caller.call(route.method, path, body=b"x", headers=headers)
            self._look_at_rows(f"{route} ({self.caller.name})")
        return answer

    def _look_at_rows(self, where: str) -> None:
        changed = changed_tables(self.before, self.world.theirs.checksum())
        if changed:
            self.caller.report.leak(where, f"changes rows of theirs in {', '.join(changed)}")

    def own(self, route: Route) -> dict[str, str]:
        """Own ids for the path with which the route finds something."""
        address = route.address
        if not address.names:
            return {}
        if address.name in hints.NAMES_IN_PATHS:
            return hints.NAMES_IN_PATHS[address.name]
        ways = list(anchors(self.world.ours, address.names, address.around, address.accepts))
        missing = dict.fromkeys(address.names, nobody())
        unlike = shape(self.send(route, missing, self.body(route)), self.world, *missing.values())
        for ids in ways:
            if shape(self.send(route, ids, self.body(route)), self.world, *ids.values()) != unlike:
                return ids
        return ways[0]

    def _own_for(self, word: str) -> str:
        kind = word.strip("{}")
        return self.world.ours.of(kind)[0] if word.startswith("{") else word

    def body(self, route: Route) -> dict[str, Any]:
        if route.operation is None:
            return {}
        names = route.address.names
        request = route.operation.request_class.DESCRIPTOR
        body = filled(route.operation.name, request, self.world.ours, route.noun)
        if route.method == "GET":
            words = hints.QUERIES.get(route.operation.name, {})
            return {name: self._own_for(word) for name, word in words.items()}
        return {key: value for key, value in body.items() if key not in names}


def changed_tables(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Tables whose checksum differs."""
    return sorted(table for table in now if now[table] != before.get(table))


def walk_rest(
    world: World,
    report: DoorReport,
    routes: list[Route] | None = None,
    *,
    in_paths: bool = True,
    in_fields: bool = True,
    with_tokens: bool = True,
) -> None:
    """Walks the routes as each caller, with foreign ids in paths, in fields, or both.

    `with_tokens`: also with access tokens, of the owner and of somebody who is in one team only.
    """
    routes = rest_routes() if routes is None else routes
    before = world.theirs.checksum()
    callers = [key_caller(world.ours, report), session_caller(world.ours, report)]
    if with_tokens:
        people = world.ours.furnished
        callers.append(token_caller(world.ours, people.owner, "access token", report))
        callers.append(token_caller(world.ours, people.in_team, "member of a team", report))
    for caller in callers:
        caller.call("GET", "/api/v1/auth/me")  # a key's first use is noted
        is_first = caller is callers[0]
        walk = RestWalk(world, caller, is_first, in_paths, in_fields, before)
        for route in routes:
            report.begin(str(route))
            walk.walk(route)
    for route in routes:
        is_known = route.handler.__name__ in hints.BODIES_WITHOUT_IDS
        if route.operation is None and route.method in WITH_BODY and not is_known:
            report.skip(str(route), "its body is written by hand and not known to hold no ids")

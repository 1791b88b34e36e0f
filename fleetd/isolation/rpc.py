"""The RPC door: every method of the registry, with foreign ids in every field, at any depth."""

import asyncio
from dataclasses import dataclass
from functools import cache
from typing import Any

import grpc
import grpc.aio

from apps.agents.options import Options
from apps.core.rpc import orm
from fleetd.isolation import hints
from fleetd.isolation.agent import walk_agent
from fleetd.isolation.answers import Answer, difference, shape
from fleetd.isolation.positions import IdField, filled, foreign_ids, kinds_named, own_candidates
from fleetd.isolation.report import DoorReport
from fleetd.isolation.rest import changed_tables
from fleetd.isolation.rpc_calls import Method, Undone, ask, methods
from fleetd.isolation.web_calls import nobody
from fleetd.isolation.world import World
from fleetd.rpc import server
from fleetd.rpc.registry import Door

WIRE_SECONDS = 5.0
MOST_BASES = 8


@dataclass
class RpcWalk:
    """Walks methods with the owner's key."""

    world: World
    report: DoorReport
    before: dict[str, str]
    servicer: Any
    in_ids: bool = True
    in_fields: bool = True

    async def walk(self, method: Method) -> None:
        """All positions of one method; whatever it did is taken back."""
        async with Undone():
            fields = method.fields
            for place in fields:
                if self.in_ids if place.path == ("id",) else self.in_fields:
                    await self._walk_field(method, place)
            if not fields:
                self._look(await self._ask(method, filled_for(method, self.world)), method.name)
            await self._look_at_rows(method.name)

    async def _walk_field(self, method: Method, place: IdField) -> None:
        where = f"{method.name} {place}"
        around = noun_of(method)
        ours = own_candidates(self.world.ours, place.path[-1], around)
        base, never = await self._reaching(method, place, ours)
        if never is None:
            if (method.operation, str(place)) not in hints.QUIET:
                self.report.skip(where, "no id of our own makes a difference")
            never = {}
        few = place.path != ("id",)
        foreign = foreign_ids(self.world.theirs, place.path[-1], around, few=few)
        for kind, value in foreign.items():
            got = await self._shape(method, place, base, value)
            expected = await self._never(method, place, base, value, never)
            if got != expected:
                self.report.leak(f"{where} = {kind}", difference(got, expected))

    async def _reaching(
        self, method: Method, place: IdField, ours: list[str]
    ) -> tuple[dict[str, Any], dict[bool, tuple[str, str]] | None]:
        """A request in which an own id makes a difference; None where there is none."""
        base = filled_for(method, self.world)
        for start in self._bases(method, place, base):
            never: dict[bool, tuple[str, str]] = {}
            for value in ours:
                unlike = await self._never(method, place, start, value, never)
                if unlike[0] == "UNIMPLEMENTED":
                    return base, None
                if await self._shape(method, place, start, value) != unlike:
                    return start, never
        return base, None

    async def _never(
        self,
        method: Method,
        place: IdField,
        base: dict[str, Any],
        like: str,
        known: dict[bool, tuple[str, str]],
    ) -> tuple[str, str]:
        """How an id that never was is answered; asked once for each kind of id."""
        is_number = like.isdigit()
        if is_number not in known:
            known[is_number] = await self._shape(method, place, base, nobody(like))
        return known[is_number]

    def _bases(self, method: Method, place: IdField, base: dict[str, Any]) -> list[dict[str, Any]]:
        """The request with every likely own object as its `id`, for fields beside that."""
        if place.path == ("id",) or all(f.path != ("id",) for f in method.fields):
            return [base]
        likely = own_candidates(self.world.ours, "id", noun_of(method))[:MOST_BASES]
        return [{**base, "id": value} for value in likely]

    async def _shape(
        self, method: Method, place: IdField, base: dict[str, Any], value: str
    ) -> tuple[str, str]:
        async with Undone():
            answer = await self._ask(method, place.put(base, value))
            if answer.status == "OK":
                await self._look_at_rows(f"{method.name} {place}")
        self._look(answer, f"{method.name} {place}", value)
        return shape(answer, self.world, value)

    async def _ask(self, method: Method, body: dict[str, Any]) -> Answer:
        self.report.calls += 1
        return await ask(
            self.servicer(method.service.name), method, self.world.ours.furnished.api_key, body
        )

    def _look(self, answer: Answer, where: str, *sent: str) -> None:
        if answer.is_crash:
            self.report.leak(where, f"{answer.status}: {answer.text[:100]}")
        marks = self.world.marks_in(answer.whole, frozenset(sent))
        if marks:
            self.report.leak(where, f"shows {', '.join(marks[:3])}")

    async def _look_at_rows(self, where: str) -> None:
        now = await orm(None, self.world.theirs.checksum)
        changed = changed_tables(self.before, now)
        if changed:
            self.report.leak(where, f"changes rows of theirs in {', '.join(changed)}")


def filled_for(method: Method, world: World) -> dict[str, Any]:
    """A request that gets as far as looking at ids; lists are asked without filters, unless they
    need some.
    """
    if method.descriptor.name.startswith("List") and method.operation not in hints.BODIES:
        return {}
    around = noun_of(method)
    return filled(method.operation, method.descriptor.input_type, world.ours, around)


def noun_of(method: Method) -> str:
    """What a plain `id` of the method means: `rollout` for PauseRollout."""
    return method.operation.partition("_")[2]


def walk_rpc(
    world: World,
    report: DoorReport,
    chosen: list[Method] | None = None,
    *,
    in_ids: bool = True,
    in_fields: bool = True,
    on_the_wire: bool = True,
) -> None:
    """Walks the methods in this process; then again over gRPC, and the agents' port."""
    asyncio.run(_walk(world, report, chosen, in_ids, in_fields))
    if on_the_wire and chosen is None:
        asyncio.run(_over_the_wire(world, report))


async def _walk(
    world: World,
    report: DoorReport,
    chosen: list[Method] | None,
    in_ids: bool,
    in_fields: bool,
) -> None:
    before = await orm(None, world.theirs.checksum)
    servicers = cache(
        lambda name: next(
            m.service.servicer() for m in chosen or methods() if m.service.name == name
        )
    )
    walk = RpcWalk(world, report, before, servicers, in_ids, in_fields)
    for method in methods() if chosen is None else chosen:
        report.begin(method.name)
        if method.descriptor.client_streaming:
            report.skip(method.name, "streams of requests are walked at the agents' port only")
        else:
            await walk.walk(method)


async def _over_the_wire(world: World, report: DoorReport) -> None:
    """The public methods over real gRPC, and what a device of ours says to the agents' port."""
    walk = RpcWalk(world, report, await orm(None, world.theirs.checksum), None)
    running = await server.start(Options())
    try:
        address = f"127.0.0.1:{running.grpc_port}"
        async with grpc.aio.insecure_channel(address) as channel:
            for method in methods():
                if Door.GRPC in method.service.doors:
                    walk.report.begin(f"gRPC {method.name}")
                    await _walk_wire(walk, channel, method)
        await walk_agent(walk.world, walk.report, running.agent_port)
    finally:
        await server.stop(running)
    await walk._look_at_rows("gRPC")


async def _walk_wire(walk: RpcWalk, channel: grpc.aio.Channel, method: Method) -> None:
    """Ids of theirs of the kinds that a field may mean, against ids that never were."""
    base = filled_for(method, walk.world)
    for place in method.fields:
        kinds = kinds_named(place.path[-1], noun_of(method))
        foreign = [value for kind in kinds for value in walk.world.theirs.of(kind)]
        never = nobody()
        expected = shape(
            await _call(walk, channel, method, place.put(base, never)), walk.world, never
        )
        for value in foreign:
            answer = await _call(walk, channel, method, place.put(base, value))
            where = f"gRPC {method.name} {place}"
            walk._look(answer, where, value)
            got = shape(answer, walk.world, value)
            if got != expected:
                walk.report.leak(where, difference(got, expected))


async def _call(
    walk: RpcWalk, channel: grpc.aio.Channel, method: Method, body: dict[str, Any]
) -> Answer:
    walk.report.calls += 1
    metadata = (("authorization", f"Bearer {walk.world.ours.furnished.api_key}"),)
    request = method.request(body).SerializeToString()
    path = f"/{method.name}"
    try:
        if method.descriptor.server_streaming:
            stream = channel.unary_stream(path, bytes, bytes)(
                request, metadata=metadata, timeout=0.3
            )
            said = await stream.read()
            stream.cancel()
        else:
            unary = channel.unary_unary(path, bytes, bytes)
            said = await unary(request, metadata=metadata, timeout=WIRE_SECONDS)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and method.descriptor.server_streaming:
            return Answer("OK", "", "")
        pairs: Any = error.trailing_metadata() or ()
        trailers = "\n".join(f"{k}: {v!r}" for k, v in pairs if "id" not in k)
        return Answer(error.code().name, "", f"{error.details()}\n{trailers}")
    text = said.decode(errors="replace") if isinstance(said, bytes) else ""
    return Answer("OK", "", text)

"""Tells the layer in front of a door whose call it turned out to be."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from apps.core.actors import Actor


@dataclass(slots=True)
class Found:
    """Filled in by the door that finds out; None until then."""

    organization_id: UUID | None = None


_FOUND: ContextVar[Found | None] = ContextVar("fleetd_caller_found", default=None)


@contextmanager
def watching_caller() -> Iterator[Found]:
    """Around one call: what the door notes is in here, whatever thread or task it works in."""
    found = Found()
    token = _FOUND.set(found)
    try:
        yield found
    finally:
        _FOUND.reset(token)


def caller_is(actor: Actor) -> None:
    """Notes the caller of the request under way."""
    found = _FOUND.get()
    if found is not None:
        found.organization_id = actor.organization_id

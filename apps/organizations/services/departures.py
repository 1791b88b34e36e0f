"""What goes when somebody leaves an organization, beside the membership itself.

Higher apps hold things of members (teams, grants): they register here, when they are ready, and
take them away in the same transaction. An event would come later: whoever is invited again
meanwhile would find old rights.
"""

from collections.abc import Callable
from uuid import UUID

from apps.core.actors import Actor

Departure = Callable[[Actor, UUID], None]
_DEPARTURES: list[Departure] = []


def on_departure(departure: Departure) -> Departure:
    """Registers `departure(actor, user_id)`, called inside the organization."""
    if departure not in _DEPARTURES:
        _DEPARTURES.append(departure)
    return departure


def depart(actor: Actor, user_id: UUID) -> None:
    """Takes away everything that the person holds in the actor's organization."""
    for departure in _DEPARTURES:
        departure(actor, user_id)

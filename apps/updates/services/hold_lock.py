"""A rollout's start and a device's hold never overlook each other.

A start reads the holds and stores deployments; a hold is stored and skips what waits. Each would
miss what the other has not committed yet, so a hold waits for starts and starts wait for holds.
Starts do not wait for each other.
"""

from django.db import connection

from apps.core.actors import Actor


def lock_for_start(actor: Actor) -> None:
    """No hold begins until the transaction ends. Taken before devices or deployments are locked."""
    _lock(actor, "pg_advisory_xact_lock_shared")


def lock_for_holds(actor: Actor) -> None:
    """No rollout begins until the transaction ends."""
    _lock(actor, "pg_advisory_xact_lock")


def _lock(actor: Actor, function: str) -> None:
    name = f"updates.holds.{actor.organization_id}"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtextextended(%s, 0))", [name])

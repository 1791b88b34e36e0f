"""Telling readers of the audit trail that there is more of it."""

from apps.audit.services.entries import ANNOUNCE_TASK
from apps.core.actors import Actor
from apps.core.authz import PLATFORM
from apps.core.realtime import send_hint
from apps.core.tasks import org_task
from apps.core.transactions import after_commit


@org_task(ANNOUNCE_TASK, permission=PLATFORM, at_standstill=True)
def announce(actor: Actor) -> None:
    """Sends one hint, however many entries were added since the last: readers re-read once."""
    organization_id = actor.organization_id
    after_commit(
        lambda: send_hint(
            organization_id, f"org.{organization_id}.audit", "audit.entries.added", {}
        )
    )

"""Telling readers of the audit trail that there is more of it, signing it, checking it."""

import structlog

from apps.audit.errors import ChainBroken
from apps.audit.services.checkpoints import create_checkpoints
from apps.audit.services.entries import ANNOUNCE_TASK
from apps.audit.services.second_place import copy_checkpoints
from apps.audit.services.verification import VERIFY_TASK, verify_some
from apps.core.actors import Actor
from apps.core.authz import PLATFORM
from apps.core.realtime import send_hint
from apps.core.tasks import org_task, wake
from apps.core.transactions import after_commit

log = structlog.get_logger(__name__)

COPY_TASK = "audit.copy_checkpoints"
SIGN_SECONDS = 3600
RETRY_SECONDS = 300


@org_task(ANNOUNCE_TASK, permission=PLATFORM)
def announce(actor: Actor) -> None:
    """Sends one hint, however many entries were added since the last: readers re-read once."""
    _tell(actor, "audit.entries.added")


@org_task(
    "audit.create_checkpoints",
    permission=PLATFORM,
    every_seconds=SIGN_SECONDS,
    at_standstill=True,
)
def sign(actor: Actor) -> None:
    """Signs what was added in the last hour. A chain that is broken stays unsigned, and is said."""
    try:
        made = create_checkpoints(actor)
    except ChainBroken:
        return  # logged where it was found
    if made:
        wake(COPY_TASK, actor)
        _tell(actor, "audit.checkpoint.created")


@org_task(COPY_TASK, permission=PLATFORM, every_seconds=RETRY_SECONDS, at_standstill=True)
def copy(actor: Actor) -> None:
    """Brings the second place up to date; where it is away, the next sweep tries again."""
    try:
        copy_checkpoints(actor)
    except OSError as error:
        log.warning("audit_second_place_away", error=str(error))


@org_task(VERIFY_TASK, permission=PLATFORM, every_seconds=RETRY_SECONDS)
def verify(actor: Actor) -> None:
    """The next step of a check that somebody has asked for; nothing where nobody has."""
    if verify_some(actor).position is None:
        _tell(actor, "audit.chain.verified")


def _tell(actor: Actor, kind: str) -> None:
    organization_id = actor.organization_id
    after_commit(lambda: send_hint(organization_id, f"org.{organization_id}.audit", kind, {}))

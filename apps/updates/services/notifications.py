"""Telling people what happens to rollouts, by mail.

What has to be told is stored with the entry of the log that it is about, in its transaction, so
that nothing is lost and nothing is told that did not happen. A worker sends it, and tries again.
"""

import time
from collections.abc import Sequence
from datetime import timedelta

import structlog
from django.conf import settings
from django.db.models import QuerySet

from apps.accounts.services.mail import MailNotSent, deliver_mail
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.limits import LimitReached, take
from apps.core.tasks import wake
from apps.updates.domain.engine import LogEvent, RolloutStatus, reduce
from apps.updates.domain.notifications import Notifications, occasions_of
from apps.updates.models import Rollout, RolloutNotification
from apps.updates.permissions import SEND_NOTIFICATIONS

log = structlog.get_logger(__name__)

DELIVER_TASK = "updates.send_rollout_notifications"
# Minutes until the next attempt; after the last one it is given up.
PAUSES = (1, 5, 30, 120, 480)
AT_ONCE = 50
# Of an organization: whoever may plan rollouts names any address, and the platform is no relay.
# What waits beyond these is not stored any more.
PER_HOUR, WAITING = 300, 1000
# Well within a task's time limit, whatever a mail server takes for one mail.
BUDGET_SECONDS = 20.0
SUBJECTS = {
    "awaiting_approval": "waits for approval",
    "started": "has started",
    "phase_waiting": "waits for a decision",
    "devices_failed": "has failing devices",
    "halted": "was halted",
    "completed": "is complete",
    "rolled_back": "was rolled back",
}


def note_notifications(
    actor: Actor, rollout: Rollout, events: Sequence[LogEvent], before: RolloutStatus
) -> None:
    """Stores what has to be told because of new entries of a rollout's log.

    For the service that appends them, in its transaction.
    """
    told = Notifications.restore(rollout.plan.get("notifications", {}))
    if not told.email:
        return
    rows: list[RolloutNotification] = []
    for event in events:
        after = reduce(before, event)
        for found in occasions_of(told, event, before, after):
            rows += [
                RolloutNotification(
                    organization_id=actor.organization_id,
                    rollout_id=rollout.id,
                    sequence=found.sequence,
                    occasion=found.occasion.value,
                    recipient=recipient,
                    words=found.words[:500],
                    created_at=clock.now(),
                    next_attempt_at=clock.now(),
                )
                for recipient in told.email
            ]
        before = after
    if rows and _has_room(actor):
        RolloutNotification.objects.for_org(actor.organization_id).bulk_create(rows)
        wake(DELIVER_TASK, actor)


def send_notifications(actor: Actor) -> int:
    """Sends mails that are due, and returns how many; for the worker. Safe to run in parallel.

    An organization sends at most `PER_HOUR`; what is beyond waits.

    A worker that dies between sending and noting it sends again: the mail has the same Message-ID.
    """
    require(actor, SEND_NOTIFICATIONS)
    until = time.monotonic() + BUDGET_SECONDS
    sent = 0
    for row in _due(actor).select_for_update(of=("self",), skip_locked=True)[:AT_ONCE]:
        if time.monotonic() > until or not _may_send(actor):
            break
        sent += _send(row)
    return sent


def _may_send(actor: Actor) -> bool:
    """Whether the organization has not sent as many as it may; the others wait."""
    try:
        take("rollout_mails", str(actor.organization_id), limit=PER_HOUR, per_seconds=3600)
    except LimitReached:
        return False
    return True


def _has_room(actor: Actor) -> bool:
    rows = RolloutNotification.objects.for_org(actor.organization_id)
    waiting = rows.filter(sent_at=None, failed_at=None).values("id")[:WAITING].count()
    if waiting >= WAITING:
        log.warning("rollout_mails_not_stored", waiting=waiting)
    return waiting < WAITING


def _due(actor: Actor) -> "QuerySet[RolloutNotification]":
    rows = RolloutNotification.objects.for_org(actor.organization_id)
    due: QuerySet[RolloutNotification] = rows.filter(
        sent_at=None, failed_at=None, next_attempt_at__lte=clock.now()
    )
    return due.select_related("rollout__release", "organization").order_by("next_attempt_at", "id")


def _send(row: RolloutNotification) -> bool:
    """One attempt; what came of it is in the row afterwards."""
    row.attempts += 1
    try:
        deliver_mail(
            "updates/mail/rollout", row.recipient, _context(row), message_id=f"rollout-{row.id}"
        )
    except MailNotSent as error:
        row.last_error = str(error)[:300]
        _postpone(row)
    else:
        row.last_error = ""
        row.sent_at = clock.now()
    row.save(update_fields=["attempts", "last_error", "next_attempt_at", "sent_at", "failed_at"])
    return row.sent_at is not None


def _postpone(row: RolloutNotification) -> None:
    if row.attempts > len(PAUSES):
        row.failed_at = clock.now()
    else:
        row.next_attempt_at = clock.now() + timedelta(minutes=PAUSES[row.attempts - 1])


def _context(row: RolloutNotification) -> dict[str, object]:
    rollout = row.rollout
    return {
        "rollout": rollout.name,
        "release": str(rollout.release),
        "organization": row.organization.name,
        "happened": SUBJECTS[row.occasion],
        "words": row.words,
        "at": row.created_at,
        "link": f"{settings.EXTERNAL_URL}/rollouts/{rollout.id}",
    }

"""Mails about rollouts, as REST and RPC offer them."""

from apps.core.actors import Actor
from apps.core.public import id_of, operation, page_of, timestamp
from apps.updates.models import RolloutNotification
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors import notifications
from fleetd.pb.public.v1 import fleet_pb2 as pb


@operation(VIEW_ROLLOUTS)
def list_rollout_notifications(
    actor: Actor, request: pb.ListRolloutNotificationsRequest
) -> pb.ListRolloutNotificationsResponse:
    """Mails about a rollout, newest first, with what became of each."""
    page = notifications.list_rollout_notifications(
        actor, id_of(request.rollout_id), page_of(request)
    )
    return pb.ListRolloutNotificationsResponse(
        items=[_message(each) for each in page.items], next_page_token=page.next_page_token
    )


def _message(mail: RolloutNotification) -> pb.RolloutNotification:
    return pb.RolloutNotification(
        id=str(mail.id),
        rollout_id=str(mail.rollout_id),
        occasion=mail.occasion,
        recipient=mail.recipient,
        words=mail.words,
        state=mail.state,
        attempts=mail.attempts,
        last_error=mail.last_error,
        created_at=timestamp(mail.created_at),
        sent_at=timestamp(mail.sent_at),
        next_attempt_at=timestamp(mail.next_attempt_at if mail.state == "waiting" else None),
    )

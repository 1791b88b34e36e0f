"""Which topics exist, and who may hear them: whoever may read what they are about."""

from collections.abc import Callable
from uuid import UUID

from apps.audit.permissions import VIEW_ENTRIES
from apps.core.actors import Actor
from apps.core.authz import Permission, require
from apps.core.errors import FleetdError, NotFound
from apps.core.ids import parse_uuid
from apps.devices.permissions import VIEW_DEVICES
from apps.devices.selectors import get_device
from apps.enrollment.selectors import get_enrollment_token
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors import get_rollout_id

MAX_LENGTH = 100
OF_ORGANIZATION: dict[str, Permission] = {
    "summary": VIEW_DEVICES,
    "devices": VIEW_DEVICES,
    "rollouts": VIEW_ROLLOUTS,
    "audit": VIEW_ENTRIES,
}
OF_OBJECT: dict[str, Callable[[Actor, UUID], object]] = {
    "device": get_device,
    "rollout": get_rollout_id,
    "enroll": get_enrollment_token,
}


def may_hear(actor: Actor, topic: str) -> bool:
    """Whether the actor may subscribe; a topic that is nothing is one it may not."""
    return refusal_of(actor, topic) is None


def refusal_of(actor: Actor, topic: str) -> FleetdError | None:
    """Why the actor may not subscribe, None where it may. Who asks is told only that it is not."""
    try:
        _authorize(actor, topic)
    except FleetdError as error:
        return error
    return None


def _authorize(actor: Actor, topic: str) -> None:
    """Raises unless the topic exists and the actor may read what it is about."""
    kind, _, rest = topic.partition(".")
    identifier, _, part = rest.partition(".")
    found = parse_uuid(identifier)
    if found is None or identifier != str(found):
        raise NotFound
    if kind == "org" and part in OF_ORGANIZATION and found == actor.organization_id:
        require(actor, OF_ORGANIZATION[part])
    elif kind in OF_OBJECT and not part and "." not in rest:
        OF_OBJECT[kind](actor, found)
    else:
        raise NotFound

"""Reading which devices rollouts leave alone."""

from uuid import UUID

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require_somewhere
from apps.core.pagination import Page, PageRequest, paginate
from apps.devices.permissions import VIEW_DEVICES
from apps.devices.selectors import get_device
from apps.devices.selectors.places import within
from apps.updates.models import DeviceHold
from apps.updates.selectors.receiving import holds_at


def list_device_holds(
    actor: Actor, page: PageRequest, *, device_id: UUID | None = None
) -> Page[DeviceHold]:
    """The pins and quarantines that hold now, of devices in sight, the newest first.

    Raises `NotFound` for a device that is missing or out of sight.
    """
    require_somewhere(actor, VIEW_DEVICES)
    rows = holds_at(actor.organization_id, clock.now()).select_related("device")
    if device_id is not None:
        rows = rows.filter(device_id=get_device(actor, device_id).id)
    return paginate(within(actor, VIEW_DEVICES, rows, via="device"), page, order_by=["-id"])

"""The buttons of a device's page that keep rollouts away from it, and let them come again."""

from datetime import UTC, datetime
from uuid import UUID

from django.http import HttpResponse
from django.utils.translation import gettext as _

from apps.core.authz import needs
from apps.core.errors import invalid
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.updates.permissions import PIN_DEVICE, UNPIN_DEVICE
from apps.updates.services.holds import pin_device, unpin_device


class DevicePin(OrgView):
    """Lets a device keep what it has."""

    @needs(PIN_DEVICE)
    def post(self, request: OrgRequest, device_id: UUID) -> HttpResponse:
        """Pins, with a reason and perhaps an end."""
        attempt(
            request,
            lambda: pin_device(
                request.actor,
                device_id,
                reason=request.POST.get("reason", ""),
                until=_moment(request.POST.get("until", "")),
            ),
            _("The device is pinned: rollouts leave it alone."),
        )
        return go(request, "device", device_id)


class DeviceUnpin(OrgView):
    """Lets rollouts reach it again."""

    @needs(UNPIN_DEVICE)
    def post(self, request: OrgRequest, device_id: UUID) -> HttpResponse:
        """Unpins."""
        done = _("Rollouts that begin from now on reach the device.")
        attempt(request, lambda: unpin_device(request.actor, device_id), done)
        return go(request, "device", device_id)


def _moment(text: str) -> datetime | None:
    """What a field for a day and a time says, in UTC."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise invalid("until", "invalid_time", _("This is no day and time.")) from error

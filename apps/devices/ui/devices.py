"""The list of devices, and what the buttons of a device do."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.authz import needs
from apps.core.errors import invalid
from apps.core.filters import FilterError
from apps.core.filters.completion import is_filter
from apps.core.filters.showing import shown_error
from apps.core.ids import parse_uuid
from apps.core.pagination import Page, PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.devices.filters import DEVICE_FIELDS
from apps.devices.permissions import (
    APPROVE_DEVICE,
    DECOMMISSION_DEVICE,
    QUARANTINE_DEVICE,
    RELEASE_DEVICE,
    UPDATE_DEVICE,
    VIEW_DEVICE_GROUPS,
    VIEW_DEVICES,
)
from apps.devices.selectors import get_device, list_device_groups, list_devices
from apps.devices.selectors.filtering import read_filter
from apps.devices.services.devices import (
    approve_device,
    decommission_device,
    quarantine_device,
    release_device,
    update_device,
)
from apps.devices.ui.rows import rows_of

PAGE_SIZE = 50
FILTERS = ("q", "connectivity", "lifecycle", "group", "tag")
CHOICES = {
    "connectivity": [
        ("online", gettext_lazy("Online")),
        ("degraded", gettext_lazy("Degraded")),
        ("offline", gettext_lazy("Offline")),
        ("never_seen", gettext_lazy("Never seen")),
    ],
    "lifecycle": [
        ("pending", gettext_lazy("Pending approval")),
        ("active", gettext_lazy("Active")),
        ("quarantined", gettext_lazy("Quarantined")),
        ("decommissioned", gettext_lazy("Decommissioned")),
    ],
}


class DeviceList(OrgView):
    """All devices, narrowed by the filters in the address."""

    @needs(VIEW_DEVICES)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page, or its list alone."""
        filters = {name: request.GET.get(name, "").strip() for name in FILTERS}
        context: dict[str, Any] = {
            "actor": request.actor,
            "sees_all": request.actor.has_perm(VIEW_DEVICES.name),
            "filters": filters,
            "is_filtered": any(filters.values()),
            **_found(request, filters),
        }
        if request.GET.get("fragment") == "list":
            return render(request, "devices/list_rows.html", context)
        may_group = request.actor.may_somewhere(VIEW_DEVICE_GROUPS.name)
        asked = PageRequest(size=200)
        groups = list_device_groups(request.actor, asked).items if may_group else []
        return render(
            request, "devices/list.html", {**context, "groups": groups, "choices": CHOICES}
        )


def _found(request: OrgRequest, filters: dict[str, str]) -> dict[str, Any]:
    """The page of devices. The box takes words and filters; one that is wrong is shown so."""
    text = filters["q"]
    means_filter = is_filter(text, DEVICE_FIELDS)
    try:
        page = list_devices(
            request.actor,
            PageRequest.of(PAGE_SIZE, request.GET.get("page_token")),
            lifecycle=filters["lifecycle"],
            connectivity=filters["connectivity"],
            tag=filters["tag"].lower(),
            group_id=_group_id(filters["group"]),
            search="" if means_filter else text,
            filter=text if means_filter else "",
        )
    except FilterError as error:
        return {"page": Page([]), "filter_error": shown_error(text, error)}
    understood = read_filter(request.actor, text).shown if means_filter else ""
    return {"page": rows_of(page), "understood": understood}


class DeviceButton(OrgView):
    """Base of the buttons on a device's page."""

    def back(self, request: OrgRequest, device_id: UUID) -> HttpResponse:
        """To the device's page."""
        return go(request, "device", device_id)


class DeviceUpdate(DeviceButton):
    """Name and tags."""

    @needs(UPDATE_DEVICE)
    def post(self, request: OrgRequest, device_id: UUID) -> HttpResponse:
        """Sets both; the tags are those in the field, whatever they were."""
        present = get_device(request.actor, device_id).tags
        tags = [tag.strip() for tag in request.POST.get("tags", "").split(",") if tag.strip()]
        attempt(
            request,
            lambda: update_device(
                request.actor,
                device_id,
                name=request.POST.get("name", ""),
                add_tags=tags,
                remove_tags=sorted(set(present) - {tag.lower() for tag in tags}),
            ),
            _("Saved."),
        )
        return self.back(request, device_id)


class DeviceApprove(DeviceButton):
    """Lets a waiting device in."""

    @needs(APPROVE_DEVICE)
    def post(self, request: OrgRequest, device_id: UUID) -> HttpResponse:
        """Approves."""
        done = _("Approved. The device gets its certificate when it asks next.")
        attempt(request, lambda: approve_device(request.actor, device_id), done)
        return self.back(request, device_id)


class DeviceQuarantine(DeviceButton):
    """Keeps work from a device."""

    @needs(QUARANTINE_DEVICE)
    def post(self, request: OrgRequest, device_id: UUID) -> HttpResponse:
        """Quarantines, with a reason."""
        reason = request.POST.get("reason", "")
        attempt(
            request,
            lambda: quarantine_device(request.actor, device_id, reason=reason),
            _("The device is in quarantine."),
        )
        return self.back(request, device_id)


class DeviceRelease(DeviceButton):
    """Ends a quarantine."""

    @needs(RELEASE_DEVICE)
    def post(self, request: OrgRequest, device_id: UUID) -> HttpResponse:
        """Releases."""
        done = _("The device is active again.")
        attempt(request, lambda: release_device(request.actor, device_id), done)
        return self.back(request, device_id)


class DeviceDecommission(DeviceButton):
    """Takes a device out for good."""

    @needs(DECOMMISSION_DEVICE)
    def post(self, request: OrgRequest, device_id: UUID) -> HttpResponse:
        """Decommissions, once the device's name was typed."""
        device = get_device(request.actor, device_id)
        if request.POST.get("confirm", "") != device.name:
            message = _("Type the device's name to decommission it.")
            attempt(request, lambda: _refuse("confirm", "not_confirmed", message))
            return self.back(request, device_id)
        reason = request.POST.get("reason", "")
        attempt(
            request,
            lambda: decommission_device(request.actor, device_id, reason=reason),
            _("The device has been taken out."),
        )
        return self.back(request, device_id)


def _refuse(field: str, code: str, message: str) -> None:
    raise invalid(field, code, message)


def _group_id(text: str) -> UUID | None:
    """The group in the address; one that is no id matches nothing and is refused."""
    if not text:
        return None
    group_id = parse_uuid(text)
    if group_id is None:
        raise invalid("group", "invalid_id", _("The group is not an id."))
    return group_id

"""Device groups."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from apps.core.authz import needs
from apps.core.ids import parse_uuid
from apps.core.pagination import Page, PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.devices.permissions import (
    ADD_DEVICES_TO_GROUP,
    CREATE_DEVICE_GROUP,
    DELETE_DEVICE_GROUP,
    REMOVE_DEVICES_FROM_GROUP,
    VIEW_DEVICE_GROUPS,
    VIEW_DEVICES,
)
from apps.devices.selectors import (
    count_group_devices,
    get_device_group,
    list_candidates,
    list_device_groups,
    list_devices,
)
from apps.devices.selectors.places import actor_at_group
from apps.devices.services.groups import (
    add_devices_to_group,
    create_device_group,
    delete_device_group,
    remove_devices_from_group,
)
from apps.devices.ui.rows import DeviceRow, rows_of

CANDIDATES = 50


class GroupList(OrgView):
    """All groups."""

    @needs(VIEW_DEVICE_GROUPS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        asked = PageRequest.of(None, request.GET.get("page_token"))
        page = list_device_groups(request.actor, asked)
        counts = count_group_devices(request.actor, [group.id for group in page.items])
        rows = [{"group": group, "count": counts.get(group.id, 0)} for group in page.items]
        context = {"actor": request.actor, "page": page, "rows": rows}
        return render(request, "devices/groups.html", context)

    @needs(CREATE_DEVICE_GROUP)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Makes a group."""
        name, tag = request.POST.get("name", ""), request.POST.get("tag", "").strip()
        made = attempt(request, lambda: create_device_group(request.actor, name=name, tag=tag))
        return go(request, "device-group", made.id) if made else go(request, "device-groups")


class GroupDetail(OrgView):
    """One group and its devices."""

    @needs(VIEW_DEVICE_GROUPS)
    def get(self, request: OrgRequest, group_id: UUID) -> HttpResponse:
        """The page, or its list alone."""
        group = get_device_group(request.actor, group_id)
        asked = PageRequest.of(None, request.GET.get("page_token"))
        page = rows_of(list_devices(request.actor, asked, group_id=group_id))
        here = actor_at_group(request.actor, group)
        context: dict[str, Any] = {"actor": here, "group": group, "page": page}
        if request.GET.get("fragment") == "list":
            return render(request, "devices/list_rows.html", context)
        if group.is_static:
            context["candidates"] = _candidates(request)
        return render(request, "devices/group.html", context)


class GroupCandidates(OrgView):
    """Devices to choose from, as the search in the dialog narrows them."""

    @needs(VIEW_DEVICES)
    def get(self, request: OrgRequest, group_id: UUID) -> HttpResponse:
        """The choices alone."""
        get_device_group(request.actor, group_id)
        context = {"actor": request.actor, "candidates": _candidates(request)}
        return render(request, "devices/group_candidates.html", context)


class GroupDelete(OrgView):
    """Deletes a group."""

    @needs(DELETE_DEVICE_GROUP)
    def post(self, request: OrgRequest, group_id: UUID) -> HttpResponse:
        """Deletes it; its devices stay."""
        delete_device_group(request.actor, group_id)
        messages.success(request, _("The group is gone; its devices stay."))
        return go(request, "device-groups")


class GroupAdd(OrgView):
    """Puts devices into a group."""

    @needs(ADD_DEVICES_TO_GROUP)
    def post(self, request: OrgRequest, group_id: UUID) -> HttpResponse:
        """Adds the chosen devices."""
        chosen = _device_ids(request)
        attempt(request, lambda: add_devices_to_group(request.actor, group_id, chosen), _("Added."))
        return go(request, "device-group", group_id)


class GroupRemove(OrgView):
    """Takes devices out of a group."""

    @needs(REMOVE_DEVICES_FROM_GROUP)
    def post(self, request: OrgRequest, group_id: UUID) -> HttpResponse:
        """Removes the chosen devices."""
        chosen = _device_ids(request)
        attempt(
            request,
            lambda: remove_devices_from_group(request.actor, group_id, chosen),
            _("Taken out of the group."),
        )
        return go(request, "device-group", group_id)


def _candidates(request: OrgRequest) -> Page[DeviceRow]:
    """Devices that the person may put into groups."""
    search = request.GET.get("q", "").strip()
    asked = PageRequest(size=CANDIDATES)
    return rows_of(list_candidates(request.actor, asked, ADD_DEVICES_TO_GROUP, search=search))


def _device_ids(request: OrgRequest) -> list[UUID]:
    return [found for text in request.POST.getlist("device") if (found := parse_uuid(text))]

"""Device groups."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from apps.core.authz import needs
from apps.core.filters import FilterError
from apps.core.filters.showing import shown_error
from apps.core.ids import parse_uuid
from apps.core.pagination import Page, PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.devices.permissions import (
    ADD_DEVICES_TO_GROUP,
    CREATE_DEVICE_GROUP,
    DELETE_DEVICE_GROUP,
    REMOVE_DEVICES_FROM_GROUP,
    UPDATE_DEVICE_GROUP,
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
from apps.devices.selectors.filtering import shown_filters
from apps.devices.selectors.places import actor_at_group
from apps.devices.selectors.previews import preview_device_group
from apps.devices.services.groups import (
    add_devices_to_group,
    create_device_group,
    delete_device_group,
    remove_devices_from_group,
    update_device_group,
)
from apps.devices.ui.rows import DeviceRow, rows_of

CANDIDATES = 50
BEGUN = ("name", "tag", "filter")


class GroupList(OrgView):
    """All groups."""

    @needs(VIEW_DEVICE_GROUPS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page; a group that was begun elsewhere stands in the dialog."""
        return self._page(request, {name: request.GET.get(name, "") for name in BEGUN})

    @needs(CREATE_DEVICE_GROUP)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Makes a group; what is refused stands in the dialog again."""
        asked = {name: request.POST.get(name, "").strip() for name in BEGUN}
        made = attempt(request, lambda: create_device_group(request.actor, **asked))
        return go(request, "device-group", made.id) if made else self._page(request, asked)

    def _page(self, request: OrgRequest, begun: dict[str, str]) -> HttpResponse:
        asked = PageRequest.of(None, request.GET.get("page_token"))
        page = list_device_groups(request.actor, asked)
        counts = count_group_devices(request.actor, [group.id for group in page.items])
        filters = shown_filters(request.actor.organization_id, page.items)
        rows = [
            {
                "group": group,
                "count": counts.get(group.id, 0),
                "filter": filters.get(group.id, ""),
            }
            for group in page.items
        ]
        context = {"actor": request.actor, "page": page, "rows": rows, "begun": begun}
        return render(request, "devices/groups.html", context)


class GroupDetail(OrgView):
    """One group and its devices."""

    @needs(VIEW_DEVICE_GROUPS)
    def get(self, request: OrgRequest, group_id: UUID) -> HttpResponse:
        """The page, or its list alone."""
        group = get_device_group(request.actor, group_id)
        asked = PageRequest.of(None, request.GET.get("page_token"))
        page = rows_of(list_devices(request.actor, asked, group_id=group_id))
        here = actor_at_group(request.actor, group)
        own = shown_filters(request.actor.organization_id, [group]).get(group.id, "")
        context: dict[str, Any] = {"actor": here, "group": group, "page": page, "filter": own}
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


class GroupUpdate(OrgView):
    """Name, and the filter of a smart group."""

    @needs(UPDATE_DEVICE_GROUP)
    def post(self, request: OrgRequest, group_id: UUID) -> HttpResponse:
        """Saves both."""
        name, filter = request.POST.get("name", ""), request.POST.get("filter")
        attempt(
            request,
            lambda: update_device_group(request.actor, group_id, name=name, filter=filter),
            _("Saved."),
        )
        return go(request, "device-group", group_id)


class GroupPreview(OrgView):
    """Who a filter has, and who would enter and leave, while it is written."""

    @needs(VIEW_DEVICE_GROUPS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The answer alone."""
        text, group_id = request.GET.get("filter", ""), parse_uuid(request.GET.get("id", ""))
        context: dict[str, Any] = {"actor": request.actor, "is_edit": group_id is not None}
        try:
            if text.strip():
                found = preview_device_group(request.actor, filter=text, group_id=group_id)
                context["preview"] = found
        except FilterError as error:
            context["filter_error"] = shown_error(text, error)
        return render(request, "devices/group_preview.html", context)


class GroupDelete(OrgView):
    """Deletes a group."""

    @needs(DELETE_DEVICE_GROUP)
    def post(self, request: OrgRequest, group_id: UUID) -> HttpResponse:
        """Deletes it; its devices stay. One that others lead to stays too."""

        def delete() -> bool:
            delete_device_group(request.actor, group_id)
            return True

        if attempt(request, delete, _("The group is gone; its devices stay.")):
            return go(request, "device-groups")
        return go(request, "device-group", group_id)


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

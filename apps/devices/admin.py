"""Devices and groups in the admin, with their live state."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.urls import path
from django.utils.safestring import SafeString

from apps.core import clock
from apps.core.filters.lexer import MAX_LENGTH
from apps.core.ids import parse_uuid
from apps.core.org_admin.cells import badge, tags, when
from apps.core.org_admin.forms import OrgForm, RowField, WordsField
from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.core.org_admin.operations import Operation
from apps.core.org_admin.scoping import actor_of, rows_seen
from apps.devices.access import GrantObject, kind_of
from apps.devices.domain.connectivity import connectivity_of, explain
from apps.devices.domain.states import CONNECTED, Connectivity, Lifecycle
from apps.devices.models import (
    Device,
    DeviceCount,
    DeviceGroup,
    DeviceGroupGrant,
    DevicePresence,
    DeviceState,
    GroupMember,
)
from apps.devices.permissions import (
    ADD_DEVICES_TO_GROUP,
    APPROVE_DEVICE,
    CREATE_DEVICE_GROUP,
    DECOMMISSION_DEVICE,
    DELETE_DEVICE_GROUP,
    QUARANTINE_DEVICE,
    RELEASE_DEVICE,
    REMOVE_DEVICES_FROM_GROUP,
    REVOKE_ACCESS,
    UPDATE_DEVICE,
    UPDATE_DEVICE_GROUP,
    VIEW_ACCESS_GRANTS,
    VIEW_DEVICE_GROUPS,
    VIEW_DEVICES,
)
from apps.devices.selectors import count_group_devices
from apps.devices.selectors.filtering import members_of, shown_filters
from apps.devices.selectors.places import groups_within, within
from apps.devices.services.devices import (
    approve_device,
    decommission_device,
    quarantine_device,
    release_device,
    update_device,
)
from apps.devices.services.grants import revoke_access
from apps.devices.services.groups import (
    add_devices_to_group,
    create_device_group,
    delete_device_group,
    remove_devices_from_group,
    update_device_group,
)
from apps.teams.models import OrganizationGrant, TeamGrant

LIVE_ROWS = 250


class ReasonForm(forms.Form):
    """Why, for those who read it later."""

    reason = forms.CharField(max_length=200, required=False, help_text="Kept in the audit trail.")


class TagsForm(forms.Form):
    """Tags to put on and to take off."""

    add_tags = WordsField(max_length=2000, required=False)
    remove_tags = WordsField(max_length=2000, required=False)


class GroupForm(forms.Form):
    """A group of chosen devices."""

    group = RowField(DeviceGroup)


class GroupRuleForm(OrgForm):
    """A group's name, and what its devices follow."""

    filter = forms.CharField(
        max_length=MAX_LENGTH,
        required=False,
        help_text="Of smart groups; docs/reference/filters.md",
    )


class DeviceForm(OrgForm):
    """What people may change of a device."""

    tags = WordsField(max_length=5000, required=False)


class ConnectivityFilter(admin.SimpleListFilter):
    """Devices by connectivity, deadline and all."""

    title = "connectivity"
    parameter_name = "connectivity"

    def lookups(self, request: Any, model_admin: Any) -> Iterable[tuple[str, str]]:
        """The four states."""
        return [(state.value, state.value.replace("_", " ").capitalize()) for state in Connectivity]

    def queryset(self, request: Any, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """A device whose deadline has passed is offline, whatever is stored."""
        silent = Q(state__connectivity__in=CONNECTED, state__offline_at__lte=clock.now())
        match self.value():
            case None | "":
                return queryset
            case "offline":
                return queryset.filter(Q(state__connectivity="offline") | silent)
            case value:
                return queryset.filter(state__connectivity=value).exclude(silent)


class GroupFilter(admin.SimpleListFilter):
    """Devices of one group, chosen or by tag."""

    title = "group"
    parameter_name = "group"

    def __init__(self, request: Any, params: Any, model: Any, model_admin: Any) -> None:
        self.site = model_admin.admin_site
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: Any, model_admin: Any) -> Iterable[tuple[str, str]]:
        """The organization's first groups by name."""
        groups = rows_seen(model_admin.admin_site, DeviceGroup, request).order_by("name")[:100]
        return [(str(group.pk), group.name) for group in groups]

    def queryset(self, request: Any, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Nothing for a group that the caller does not see."""
        if not self.value():
            return queryset
        groups = rows_seen(self.site, DeviceGroup, request)
        group = groups.filter(id=parse_uuid(self.value())).first()
        if group is None:
            return queryset.none()
        if group.is_smart:
            return queryset.filter(members_of(group))
        if not group.is_static:
            return queryset.filter(tags__contains=[group.tag])
        return queryset.filter(group_ids__contains=[group.id])


DEVICE_OPERATIONS = (
    Operation(
        "approve_device",
        "Approve",
        APPROVE_DEVICE,
        lambda actor, device, _values: approve_device(actor, device.pk),
        applies=lambda device: device.lifecycle == Lifecycle.PENDING,
    ),
    Operation(
        "release_device",
        "Release from quarantine",
        RELEASE_DEVICE,
        lambda actor, device, _values: release_device(actor, device.pk),
        applies=lambda device: device.lifecycle == Lifecycle.QUARANTINED,
    ),
    Operation(
        "change_tags",
        "Change tags",
        UPDATE_DEVICE,
        lambda actor, device, values: update_device(actor, device.pk, **values),
        form=TagsForm,
        applies=lambda device: device.lifecycle != Lifecycle.DECOMMISSIONED,
    ),
    Operation(
        "add_devices_to_group",
        "Add to a group",
        ADD_DEVICES_TO_GROUP,
        lambda actor, device, values: add_devices_to_group(actor, values["group"].pk, [device.pk]),
        form=GroupForm,
        applies=lambda device: device.lifecycle != Lifecycle.DECOMMISSIONED,
    ),
    Operation(
        "quarantine_device",
        "Quarantine",
        QUARANTINE_DEVICE,
        lambda actor, device, values: quarantine_device(actor, device.pk, **values),
        warning="The devices stay connected, but get no work until they are released.",
        form=ReasonForm,
        applies=lambda device: device.lifecycle == Lifecycle.ACTIVE,
    ),
    Operation(
        "decommission_device",
        "Decommission",
        DECOMMISSION_DEVICE,
        lambda actor, device, values: decommission_device(
            actor, device.pk, reason=values["reason"]
        ),
        warning="Their certificates end and they are cut off for good. Their history stays. To"
        " come back, the machines have to enroll as new devices.",
        word="decommission",
        form=ReasonForm,
        applies=lambda device: device.lifecycle != Lifecycle.DECOMMISSIONED,
    ),
)


@admin.register(Device)
class DeviceAdmin(OrgModelAdmin):
    """Every device, live. Devices come by enrolling; they are never deleted."""

    view_permission = VIEW_DEVICES
    change_permission = UPDATE_DEVICE
    reached = staticmethod(within)
    # Of its groups people see those in their reach, on the groups' own pages.
    hidden_fields = ("group_ids",)
    page = "device"
    list_display = (
        "name",
        "connection",
        "last_seen",
        "life",
        "model",
        "system",
        "agent_version",
        "tag_list",
    )
    list_display_links = ("name",)
    list_filter = ("lifecycle", ConnectivityFilter, GroupFilter)
    list_select_related = ("state",)
    search_fields = ("name", "hostname", "serial", "hardware_id")
    search_help_text = "Name, host name, serial number, hardware id, or a whole id"
    ordering = ("name", "id")
    sortable_by = ("name",)
    form = DeviceForm
    change_fields = ("name", "tags")
    extra_fields = ("connection", "why", "last_seen")
    operations = DEVICE_OPERATIONS

    def get_urls(self) -> Any:
        """Adds the address of the live state."""
        live = self.admin_site.admin_view(self.live_view)
        return [path("live/", live, name="devices_device_live"), *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """The list, with what its script needs to keep it live."""
        topic = f"org.{actor_of(request).organization_id}.devices"
        return super().changelist_view(request, {"live_topic": topic, **(extra_context or {})})

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """The present state of the devices on the page: what hints make the list read again."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = [parse_uuid(text) for text in request.GET.get("ids", "").split(",")[:LIVE_ROWS]]
        rows = self.rows(request).filter(id__in=[key for key in asked if key])
        devices = [_live(device) for device in rows.select_related("state")]
        return JsonResponse({"devices": devices})

    def change_object(self, request: HttpRequest, obj: Any, form: Any) -> Model:
        """Renames and tags it."""
        values, before = form.cleaned_data, form.initial.get("tags") or []
        return update_device(
            actor_of(request),
            obj.pk,
            name=values["name"],
            add_tags=[tag for tag in values["tags"] if tag not in before],
            remove_tags=[tag for tag in before if tag not in values["tags"]],
        )

    def related_lists(self, obj: Any) -> list[tuple[str, str]]:
        """Where the device's other rows are."""
        linked = [model for model in self.admin_site._registry if _links_to_device(model)]
        return [
            (
                str(model._meta.verbose_name_plural),
                self.list_address(model, device__id__exact=obj.pk),
            )
            for model in linked
        ]

    @admin.display(description="connectivity")
    def connection(self, device: Device) -> SafeString:
        """Shape and word; the script repaints it."""
        values = _live(device)
        return render_to_string("admin/cells/connectivity.html", {"device": values})

    @admin.display(description="why")
    def why(self, device: Device) -> str:
        """One sentence."""
        return explain(_state(device), clock.now())

    @admin.display(description="last seen")
    def last_seen(self, device: Device) -> SafeString:
        """When it last spoke; the script repaints it."""
        context = {"device": device, "moment": _state(device).last_seen_at}
        return render_to_string("admin/cells/last_seen.html", context)

    @admin.display(description="lifecycle", ordering="lifecycle")
    def life(self, device: Device) -> SafeString:
        """As a badge."""
        return badge("lifecycle", device.lifecycle)

    @admin.display(description="system")
    def system(self, device: Device) -> str:
        """Name and version of the operating system."""
        return f"{device.os_name} {device.os_version}".strip() or "–"

    @admin.display(description="tags")
    def tag_list(self, device: Device) -> SafeString:
        """As small labels."""
        return tags(device.tags)


def _links_to_device(model: type[Model]) -> bool:
    """Whether a registered model's rows belong to a device, in this app or one above."""
    return any(f.name == "device" and f.related_model is Device for f in model._meta.fields)


def _state(device: Device) -> DeviceState:
    """The device's state; one that has none yet has never been seen."""
    found: DeviceState = getattr(device, "state", None) or DeviceState()
    return found


def _live(device: Device) -> dict[str, Any]:
    """What the list shows of a device's state."""
    state, now = _state(device), clock.now()
    seen = state.last_seen_at
    return {
        "id": str(device.pk),
        "connectivity": connectivity_of(state, now).value,
        "why": explain(state, now),
        "last_seen_at": seen.isoformat() if seen else None,
    }


@admin.register(DeviceState)
class DeviceStateAdmin(OrgModelAdmin):
    """The live state as it is stored; what it means now is on the device's page."""

    view_permission = VIEW_DEVICES
    reached = staticmethod(partial(within, via="device"))
    list_display = ("device", "connectivity", "seen", "ip_address", "cpu_ratio", "memory_ratio")
    list_filter = ("connectivity",)
    linked_by = ("device",)
    list_select_related = ("device",)
    search_fields = ("device__name", "=ip_address")
    ordering = ("pk",)
    sortable_by = ()

    @admin.display(description="last seen")
    def seen(self, state: DeviceState) -> SafeString:
        """When it last spoke."""
        return when(state.last_seen_at)


@admin.register(DevicePresence)
class DevicePresenceAdmin(OrgModelAdmin):
    """When devices could be reached: what forecasts are made from."""

    view_permission = VIEW_DEVICES
    reached = staticmethod(partial(within, via="device"))
    list_display = ("device", "online", "offline")
    linked_by = ("device",)
    list_select_related = ("device",)
    search_fields = ("device__name",)
    ordering = ("-pk",)
    sortable_by = ()

    @admin.display(description="online from")
    def online(self, presence: DevicePresence) -> SafeString:
        """When it came."""
        return when(presence.online_at)

    @admin.display(description="to")
    def offline(self, presence: DevicePresence) -> SafeString:
        """When it went; empty while it is there."""
        return when(presence.offline_at)


@admin.register(DeviceCount)
class DeviceCountAdmin(OrgModelAdmin):
    """The kept totals behind the dashboard, for those who see every device."""

    view_permission = VIEW_DEVICES
    list_display = ("lifecycle", "connectivity", "count")
    ordering = ("lifecycle", "connectivity")


@admin.register(DeviceGroup)
class DeviceGroupAdmin(OrgModelAdmin):
    """Groups of chosen devices, of all with a tag, or of all that match a filter."""

    view_permission = VIEW_DEVICE_GROUPS
    add_permission = CREATE_DEVICE_GROUP
    change_permission = UPDATE_DEVICE_GROUP
    delete_permission = DELETE_DEVICE_GROUP
    reached = staticmethod(groups_within)
    page = "device-group"
    list_display = ("name", "tag", "rule", "created_at")
    search_fields = ("name", "=tag")
    ordering = ("name",)
    form = GroupRuleForm
    add_fields = ("name", "tag", "filter")
    change_fields = ("name", "filter")
    # Names groups by id; people read the filter with their names.
    hidden_fields = ("filter_group_ids",)
    extra_fields = ("device_count",)

    def add_object(self, request: HttpRequest, form: Any, formsets: Sequence[Any]) -> Model:
        """Makes the group."""
        return create_device_group(actor_of(request), **form.cleaned_data)

    def change_object(self, request: HttpRequest, obj: Any, form: Any) -> Model:
        """Renames the group; a smart one may get another filter."""
        filter = form.cleaned_data["filter"]
        return update_device_group(
            actor_of(request),
            obj.pk,
            name=form.cleaned_data["name"],
            filter=filter if filter or obj.is_smart else None,
        )

    def delete_object(self, request: HttpRequest, obj: Any) -> None:
        """Deletes the group; its devices stay."""
        delete_device_group(actor_of(request), obj.pk)

    def related_lists(self, obj: Any) -> list[tuple[str, str]]:
        """The devices of the group."""
        return [("Devices", self.list_address(Device, group=obj.pk))]

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """The group, with the devices counted that the caller may see."""
        group = super().get_object(request, object_id, from_field)
        group.seen = count_group_devices(actor_of(request), [group.pk]).get(group.pk, 0)
        group.filter = shown_filters(group.organization_id, [group]).get(group.pk, "")
        return group

    @admin.display(description="filter")
    def rule(self, group: DeviceGroup) -> str:
        """The filter as people read it."""
        return shown_filters(group.organization_id, [group]).get(group.pk, "–")

    @admin.display(description="devices")
    def device_count(self, group: Any) -> int:
        """How many devices are in it, of those that the caller may see."""
        return int(group.seen)


@admin.register(GroupMember)
class GroupMemberAdmin(OrgModelAdmin):
    """Which devices were put into which groups, where the caller may see both."""

    view_permission = VIEW_DEVICE_GROUPS
    reached = staticmethod(partial(groups_within, via="group"))
    list_display = ("device", "group")
    list_filter = ("group",)
    linked_by = ("device",)
    list_select_related = ("device", "group")
    search_fields = ("device__name", "group__name")
    ordering = ("pk",)
    sortable_by = ()
    operations = (
        Operation(
            "remove_devices_from_group",
            "Take out of the group",
            REMOVE_DEVICES_FROM_GROUP,
            lambda actor, member, _values: remove_devices_from_group(
                actor, member.group_id, [member.device_id]
            ),
        ),
    )

    def rows(self, request: HttpRequest) -> QuerySet[Any]:
        """A group in sight may have devices that are not."""
        found: QuerySet[Any] = within(
            actor_of(request), VIEW_DEVICES, super().rows(request), via="device"
        )
        return found


class ObjectGrantAdmin(OrgModelAdmin):
    """What people were given on single objects, one permission a row."""

    view_permission = VIEW_ACCESS_GRANTS
    list_display = ("user", "content_object", "right")
    list_select_related = ("user", "content_object", "permission")
    search_fields = ("user__email", "permission__codename")
    ordering = ("pk",)
    sortable_by = ()
    hidden_fields = ("permission",)
    extra_fields = ("right",)
    operations = (
        Operation(
            "revoke_access",
            "Take back",
            REVOKE_ACCESS,
            lambda actor, grant, _values: revoke_access(
                actor,
                user_id=grant.user_id,
                on=GrantObject(kind_of(grant), grant.content_object_id),
                permissions=[grant.permission.codename],
            ),
        ),
    )

    @admin.display(description="right")
    def right(self, grant: Any) -> str:
        """The permission's name."""
        return str(grant.permission.codename)


@admin.register(OrganizationGrant)
class OrganizationGrantAdmin(ObjectGrantAdmin):
    """Rights that people were given in the whole organization."""


@admin.register(TeamGrant)
class TeamGrantAdmin(ObjectGrantAdmin):
    """Rights that people were given on teams."""


@admin.register(DeviceGroupGrant)
class DeviceGroupGrantAdmin(ObjectGrantAdmin):
    """Rights that people were given on device groups."""

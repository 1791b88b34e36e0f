"""Pinned and quarantined devices in the admin."""

from functools import partial

from django.contrib import admin
from django.utils.safestring import SafeString

from apps.core.org_admin.cells import when
from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.devices.permissions import VIEW_DEVICES
from apps.devices.selectors.places import within
from apps.updates.models import DeviceHold


@admin.register(DeviceHold)
class DeviceHoldAdmin(OrgModelAdmin):
    """Why rollouts leave devices alone, or did."""

    view_permission = VIEW_DEVICES
    reached = staticmethod(partial(within, via="device"))
    list_display = ("device", "kind", "reason", "since", "end", "over")
    list_select_related = ("device",)
    list_filter = ("kind",)
    linked_by = ("device",)
    search_fields = ("device__name",)
    ordering = ("-id",)
    sortable_by = ()

    @admin.display(description="since")
    def since(self, hold: DeviceHold) -> SafeString:
        """When it began."""
        return when(hold.created_at)

    @admin.display(description="until")
    def end(self, hold: DeviceHold) -> SafeString | str:
        """When it ends by itself, if ever."""
        return when(hold.until) if hold.until else "–"

    @admin.display(description="ended")
    def over(self, hold: DeviceHold) -> SafeString | str:
        """When somebody ended it, if anybody did."""
        return when(hold.ended_at) if hold.ended_at else "–"

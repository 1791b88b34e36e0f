"""Deployments in the admin."""

from functools import partial

from django.contrib import admin
from django.utils.safestring import SafeString

from apps.core.org_admin.cells import badge, when
from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.devices.selectors.places import within
from apps.updates.models import (
    Deployment,
)
from apps.updates.permissions import (
    VIEW_DEPLOYMENTS,
)


@admin.register(Deployment)
class DeploymentAdmin(OrgModelAdmin):
    """Each device's part of each rollout."""

    view_permission = VIEW_DEPLOYMENTS
    reached = staticmethod(partial(within, via="device"))
    list_display = ("device", "rollout", "standing", "progress_percent", "reason_code", "since")
    list_select_related = ("device", "rollout")
    list_filter = ("state", "rollout")
    linked_by = ("device",)
    search_fields = ("device__name", "=reason_code")
    ordering = ("-id",)
    sortable_by = ()

    @admin.display(description="state")
    def standing(self, deployment: Deployment) -> SafeString:
        """As a badge."""
        return badge("deployment", deployment.state)

    @admin.display(description="since")
    def since(self, deployment: Deployment) -> SafeString:
        """When it came to this state."""
        return when(deployment.state_changed_at)

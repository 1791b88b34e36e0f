"""Mails about rollouts in the admin."""

from functools import partial

from django.contrib import admin
from django.utils.safestring import SafeString

from apps.core.org_admin.cells import when
from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.updates.models import RolloutNotification
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.rollouts import rollouts_within


@admin.register(RolloutNotification)
class RolloutNotificationAdmin(OrgModelAdmin):
    """What was told to whom, and what became of each mail."""

    view_permission = VIEW_ROLLOUTS
    reached = staticmethod(partial(rollouts_within, via="rollout"))
    list_display = ("rollout", "occasion", "recipient", "state", "attempts", "last_error", "made")
    list_select_related = ("rollout",)
    list_filter = ("occasion",)
    search_fields = ("^recipient", "rollout__name")
    ordering = ("-id",)
    sortable_by = ()

    @admin.display(description="created")
    def made(self, mail: RolloutNotification) -> SafeString:
        """When it was to be told."""
        return when(mail.created_at)

"""Events in the admin: what was published, and whether it was delivered."""

from django.contrib import admin
from django.utils.safestring import SafeString

from apps.core.org_admin.cells import when
from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.events.models import OutboxEvent
from apps.events.permissions import VIEW_EVENTS


@admin.register(OutboxEvent)
class OutboxEventAdmin(OrgModelAdmin):
    """Read-only: the relay delivers."""

    view_permission = VIEW_EVENTS
    list_display = ("type", "created", "is_delivered", "attempts", "last_error")
    list_filter = (
        ("parked_at", admin.EmptyFieldListFilter),
        ("delivered_at", admin.EmptyFieldListFilter),
    )
    ordering = ("-id",)
    sortable_by = ()

    @admin.display(description="created")
    def created(self, event: OutboxEvent) -> SafeString:
        """When it was published."""
        return when(event.created_at)

    @admin.display(boolean=True, description="delivered")
    def is_delivered(self, event: OutboxEvent) -> bool:
        """Whether every subscriber has had it."""
        return event.delivered_at is not None

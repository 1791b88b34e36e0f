"""Core in the admin."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.core.models import InstalledGuard
from apps.core.org_admin.model_admin import OrgModelAdmin


@admin.register(InstalledGuard)
class InstalledGuardAdmin(OrgModelAdmin):
    """Which guards the database holds: a matter of the installation, no tenant's data."""

    superusers_only = True
    list_display = ("table_name", "guard_name")
    ordering = ("table_name", "guard_name")
    search_fields = ("table_name",)

    def rows(self, request: HttpRequest) -> QuerySet[Any]:
        """All of them: they belong to no organization."""
        return InstalledGuard.objects.all()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the caller runs the installation."""
        return bool(getattr(request.user, "is_superuser", False))

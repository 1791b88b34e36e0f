"""Releases and their components in the admin."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils.safestring import SafeString

from apps.core.org_admin.cells import when
from apps.core.org_admin.forms import rows_of
from apps.core.org_admin.model_admin import OrgInline, OrgModelAdmin
from apps.core.org_admin.scoping import actor_of
from apps.updates.models import (
    Component,
    Release,
    Rollout,
)
from apps.updates.permissions import (
    CREATE_RELEASE,
    VIEW_RELEASES,
)
from apps.updates.services.releases import create_release
from apps.updates.types import NewComponent


class ComponentForm(forms.ModelForm):  # type: ignore[type-arg]
    """One part of a new release."""

    file_mode = forms.RegexField(
        r"[0-7]{0,5}", required=False, help_text="Octal, as 0755; empty: as fits the kind."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["file_mode"] = ""  # the column's 0 would read as "nobody may"

    def clean_file_mode(self) -> int:
        """As a number; 0 leaves it to the agent."""
        return int(self.cleaned_data["file_mode"] or "0", 8)


class ComponentInline(OrgInline):
    """What a release is made of; it never changes afterwards."""

    model = Component
    form = ComponentForm
    view_permission = VIEW_RELEASES
    add_permission = CREATE_RELEASE
    fields = ("name", "kind", "artifact", "target", "file_mode", "hooks")
    autocomplete_fields = ("artifact",)
    ordering = ("position",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A release that is made already shows the mode in octal digits."""
        names = self.fields or ()
        return ["mode" if obj and name == "file_mode" else name for name in names]

    @admin.display(description="file mode")
    def mode(self, component: Component) -> str:
        """In octal digits."""
        return f"{component.file_mode:04o}" if component.file_mode else "as fits the kind"

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """One empty row to begin with."""
        return 0 if obj else 1

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only while the release is made."""
        return obj is None and super().has_add_permission(request)


@admin.register(Release)
class ReleaseAdmin(OrgModelAdmin):
    """Named versions."""

    view_permission = VIEW_RELEASES
    add_permission = CREATE_RELEASE
    page = "release"
    list_display = ("name", "version", "is_locked", "created")
    list_display_links = ("name", "version")
    search_fields = ("name", "version")
    ordering = ("-id",)
    sortable_by = ("name",)
    add_fields = ("name", "version", "notes")
    inlines = (ComponentInline,)

    def add_object(self, request: HttpRequest, form: Any, formsets: Sequence[Any]) -> Model:
        """Makes the release of its components."""
        values = form.cleaned_data
        return create_release(
            actor_of(request),
            name=values["name"],
            version=values["version"],
            notes=values["notes"],
            components=[_new_component(row) for row in rows_of(formsets)],
        )

    def related_lists(self, obj: Any) -> list[tuple[str, str]]:
        """Where it was rolled out."""
        return [("rollouts", self.list_address(Rollout, release__id__exact=obj.pk))]

    @admin.display(boolean=True, description="locked")
    def is_locked(self, release: Release) -> bool:
        """Whether a rollout uses it."""
        return release.locked_at is not None

    @admin.display(description="made")
    def created(self, release: Release) -> SafeString:
        """When it was made."""
        return when(release.created_at)


def _new_component(row: dict[str, Any]) -> NewComponent:
    return NewComponent(
        name=row["name"],
        kind=row["kind"],
        artifact_id=row["artifact"].pk,
        target=row["target"],
        file_mode=row["file_mode"],
        hooks=row["hooks"] or {},
    )


@admin.register(Component)
class ComponentAdmin(OrgModelAdmin):
    """Parts of releases."""

    view_permission = VIEW_RELEASES
    list_display = ("name", "kind", "release", "artifact", "target")
    list_select_related = ("release", "artifact")
    list_filter = ("kind", "release")
    linked_by = ("artifact",)
    search_fields = ("name", "target")
    ordering = ("-id",)
    sortable_by = ("name",)

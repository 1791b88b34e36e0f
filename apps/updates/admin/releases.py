"""Releases and their components in the admin."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils.safestring import SafeString

from apps.core.errors import invalid
from apps.core.org_admin.cells import when
from apps.core.org_admin.forms import rows_of
from apps.core.org_admin.model_admin import OrgInline, OrgModelAdmin
from apps.core.org_admin.operations import Operation
from apps.core.org_admin.scoping import actor_of
from apps.updates.models import (
    Component,
    Release,
    ReleasePackage,
    ReleasePromotion,
    Rollout,
)
from apps.updates.permissions import (
    CREATE_RELEASE,
    DELETE_RELEASE,
    DEPRECATE_RELEASE,
    PROMOTE_RELEASE,
    RECALL_RELEASE,
    VIEW_RELEASES,
)
from apps.updates.services.channels import close_release_channel, promote_release
from apps.updates.services.cleanup import delete_release
from apps.updates.services.recalls import deprecate_release, recall_release
from apps.updates.services.releases import create_release
from apps.updates.types import Compatibility, NewComponent


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
    fields = (
        "name",
        "kind",
        "artifact",
        "target",
        "file_mode",
        "hooks",
        "install_options",
        "checks",
    )
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


class ReasonForm(forms.Form):
    """Why something is done."""

    reason = forms.CharField(max_length=1000, widget=forms.Textarea)


class PromotionForm(forms.Form):
    """To which channel, and why."""

    channel = forms.CharField(max_length=32, help_text="As stable or beta.")
    reason = forms.CharField(max_length=300, required=False)


class ClosingForm(forms.Form):
    """Why a channel is taken away."""

    reason = forms.CharField(max_length=300)


RELEASE_OPERATIONS = (
    Operation(
        "promote_release",
        "Promote to a channel",
        PROMOTE_RELEASE,
        lambda actor, release, values: promote_release(
            actor, release.pk, channel=values["channel"], reason=values["reason"]
        ),
        warning="Rollouts that name the channel take this release from now on. Those that are"
        " planned already keep theirs.",
        form=PromotionForm,
        applies=lambda release: release.is_usable,
    ),
    Operation(
        "recall_release",
        "Recall for good",
        RECALL_RELEASE,
        lambda actor, release, values: recall_release(actor, release.pk, reason=values["reason"]),
        warning="No rollout of it can be planned or started any more. Devices that have it keep"
        " it until something else is rolled out. There is no way back.",
        form=ReasonForm,
        applies=lambda release: not release.is_recalled,
    ),
    Operation(
        "deprecate_release",
        "Advise against",
        DEPRECATE_RELEASE,
        lambda actor, release, values: deprecate_release(
            actor, release.pk, reason=values["reason"]
        ),
        warning="It can be rolled out still, and everybody who plans that reads the reason.",
        form=ReasonForm,
        applies=lambda release: not release.is_recalled,
    ),
)


@admin.register(Release)
class ReleaseAdmin(OrgModelAdmin):
    """Named versions."""

    view_permission = VIEW_RELEASES
    add_permission = CREATE_RELEASE
    page = "release"
    list_display = ("name", "version", "is_locked", "is_recalled", "has_files", "created")
    list_display_links = ("name", "version")
    search_fields = ("name", "version")
    ordering = ("-id",)
    sortable_by = ("name",)
    add_fields = (
        "name",
        "version",
        "notes",
        "bundle_mode",
        "compatible",
        "requires",
        "conflicts",
        "is_stepping_stone",
    )
    inlines = (ComponentInline,)
    operations = RELEASE_OPERATIONS
    delete_permission = DELETE_RELEASE

    def delete_object(self, request: HttpRequest, obj: Any) -> None:
        """Removes it unless something uses it; of one with a history only the files."""
        delete_release(actor_of(request), obj.pk)

    def add_object(self, request: HttpRequest, form: Any, formsets: Sequence[Any]) -> Model:
        """Makes the release of its components."""
        values = form.cleaned_data
        return create_release(
            actor_of(request),
            name=values["name"],
            version=values["version"],
            notes=values["notes"],
            bundle_mode=values["bundle_mode"],
            compatibility=Compatibility(
                compatible=values["compatible"],
                requires=_rules("requires", values["requires"]),
                conflicts=_rules("conflicts", values["conflicts"]),
                is_stepping_stone=values["is_stepping_stone"],
            ),
            components=[_new_component(row) for row in rows_of(formsets)],
        )

    def related_lists(self, obj: Any) -> list[tuple[str, str]]:
        """Where it was rolled out."""
        return [("rollouts", self.list_address(Rollout, release__id__exact=obj.pk))]

    @admin.display(boolean=True, description="locked")
    def is_locked(self, release: Release) -> bool:
        """Whether a rollout uses it."""
        return release.locked_at is not None

    @admin.display(boolean=True, description="recalled")
    def is_recalled(self, release: Release) -> bool:
        """Whether it was taken back."""
        return release.is_recalled

    @admin.display(boolean=True, description="has files")
    def has_files(self, release: Release) -> bool:
        """Whether its files are here still."""
        return release.files_removed_at is None

    @admin.display(description="made")
    def created(self, release: Release) -> SafeString:
        """When it was made."""
        return when(release.created_at)


def _rules(field: str, rows: Any) -> list[tuple[str, str]]:
    """Rules from JSON as [{"component": "app", "versions": ">=1.2"}]."""
    if not rows:
        return []
    is_list = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    if not is_list or any(set(row) != {"component", "versions"} for row in rows):
        message = 'A list as [{"component": "app", "versions": ">=1.2"}].'
        raise invalid(field, "invalid_rules", message)
    return [(str(row["component"]), str(row["versions"])) for row in rows]


def _new_component(row: dict[str, Any]) -> NewComponent:
    return NewComponent(
        name=row["name"],
        kind=row["kind"],
        artifact_id=row["artifact"].pk,
        target=row["target"],
        file_mode=row["file_mode"],
        hooks=row["hooks"] or {},
        install_options=row["install_options"] or {},
        checks=row["checks"] or [],
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


@admin.register(ReleasePackage)
class ReleasePackageAdmin(OrgModelAdmin):
    """What bills of materials name."""

    view_permission = VIEW_RELEASES
    list_display = ("name", "version", "release", "purl")
    list_select_related = ("release",)
    list_filter = ("release",)
    search_fields = ("^name", "^purl")
    ordering = ("-id",)
    sortable_by = ("name",)


@admin.register(ReleasePromotion)
class ReleasePromotionAdmin(OrgModelAdmin):
    """What channels point at, and pointed at before."""

    view_permission = VIEW_RELEASES
    list_display = ("release_name", "channel", "release", "promoted", "promoted_by", "ended")
    list_select_related = ("release",)
    list_filter = ("channel",)
    search_fields = ("^release_name", "^channel")
    ordering = ("-id",)
    sortable_by = ("release_name",)
    operations = (
        Operation(
            "close_release_channel",
            "Close the channel",
            PROMOTE_RELEASE,
            lambda actor, promotion, values: close_release_channel(
                actor, promotion.pk, reason=values["reason"]
            ),
            warning="It points at nothing until a release is promoted to it again. Rollouts keep"
            " the releases that they have.",
            form=ClosingForm,
            applies=lambda promotion: promotion.ended_at is None,
        ),
    )

    @admin.display(description="promoted")
    def promoted(self, promotion: ReleasePromotion) -> SafeString:
        """Since when it pointed there."""
        return when(promotion.promoted_at)

    @admin.display(description="until")
    def ended(self, promotion: ReleasePromotion) -> SafeString:
        """Until when it did."""
        return when(promotion.ended_at)

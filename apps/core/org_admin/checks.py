"""The system check that keeps pages which know no organization out of the admin."""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.filters import RelatedFieldListFilter
from django.core.checks import CheckMessage, Error

from apps.core.org_admin.forms import OrgForm
from apps.core.org_admin.lists import ScopedRelatedFilter
from apps.core.org_admin.model_admin import OrgInline, OrgModelAdmin

PLAIN = "fleetd.E001"
LEAKY = "fleetd.E002"


def check_admin(model_admin: "ModelAdmin[Any]") -> list[CheckMessage]:
    """What is wrong with one registered admin: any base but ours, any filter that is not scoped."""
    if not isinstance(model_admin, OrgModelAdmin):
        return [_error(model_admin, PLAIN, "is not an OrgModelAdmin: it would show every tenant")]
    found = []
    if model_admin.view_permission is None and not model_admin.superusers_only:
        found.append(_error(model_admin, LEAKY, "declares no view_permission"))
    if not issubclass(model_admin.form, OrgForm) or not issubclass(model_admin.add_form, OrgForm):
        found.append(_error(model_admin, LEAKY, "has a form that is not an OrgForm"))
    for inline in model_admin.inlines:
        if not issubclass(inline, OrgInline):
            found.append(
                _error(model_admin, PLAIN, f"has {inline.__name__}, which is no OrgInline")
            )
    return [*found, *_check_filters(model_admin)]


def _check_filters(model_admin: OrgModelAdmin) -> list[CheckMessage]:
    found = []
    for item in model_admin.list_filter:
        name, kind = item if isinstance(item, tuple) else (item, None)
        if isinstance(name, str) and "__" in name:
            text = f"filters by {name}: choices of another table are not scoped"
            found.append(_error(model_admin, LEAKY, text))
        if kind is not None and _lists_everything(kind):
            text = f"filters by {name} with {kind.__name__}; use ScopedRelatedFilter"
            found.append(_error(model_admin, LEAKY, text))
    return found


def _lists_everything(kind: type[Any]) -> bool:
    """Whether a filter offers the rows of another table without asking whose they are."""
    return issubclass(kind, RelatedFieldListFilter) and not issubclass(kind, ScopedRelatedFilter)


def _error(model_admin: Any, code: str, text: str) -> CheckMessage:
    return Error(f"{type(model_admin).__name__} {text}.", obj=type(model_admin), id=code)

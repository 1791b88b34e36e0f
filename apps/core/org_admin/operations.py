"""Operations: what a list's action menu and the buttons of a page do, through services.

An operation that disturbs asks first, on a page that lists the objects and says what will happen;
one that cannot be undone has to be confirmed by typing its word.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.core.actors import Actor
from apps.core.authz import Permission
from apps.core.errors import FleetdError
from apps.core.org_admin.scoping import actor_of, note_refusal, scope_choices

if TYPE_CHECKING:
    from apps.core.org_admin.model_admin import OrgModelAdmin

MAX_OBJECTS = 500
MAX_REFUSALS_SHOWN = 5
CONFIRMED = "confirmed"
BACK_TO = "next"


def _always(_obj: Any) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Operation:
    """One service as an action.

    `run` calls the service for one object with the cleaned values of `form`. `warning` says what
    will happen, where that needs a confirmation. `word` must be typed, where there is no way back.
    `seen` is what the person saw of the object when asked; `run` gets it back as `values["seen"]`.
    `applies` hides the button where the service would refuse; the service decides all the same.
    """

    name: str
    label: str
    permission: Permission
    run: Callable[[Actor, Any, dict[str, Any]], object]
    warning: str = ""
    word: str = ""
    form: type[forms.Form] | None = None
    seen: Callable[[Any], str] | None = None
    applies: Callable[[Any], bool] = field(default=_always)

    @property
    def asks_first(self) -> bool:
        """Whether there is a page before it is done."""
        return bool(self.warning or self.form)

    def action(
        self, model_admin: "OrgModelAdmin", request: HttpRequest, queryset: QuerySet[Any]
    ) -> HttpResponse | None:
        """As Django's admin calls an action of a list."""
        objects = list(queryset[: MAX_OBJECTS + 1])
        if not objects:
            messages.error(request, _("What was chosen is not here."))
            return None
        if len(objects) > MAX_OBJECTS:
            text = _("At most %(n)s at once. Choose fewer, or narrow the list.")
            messages.error(request, text % {"n": MAX_OBJECTS})
            return None
        form = _confirmation(self, model_admin, request)
        if self.asks_first and not (CONFIRMED in request.POST and form.is_valid()):
            return _ask(self, model_admin, request, objects, form)
        values = form.cleaned_data if self.asks_first else {}
        _report(request, self, *_run_all(self, request, objects, values))
        return _back(request)


def _run_all(
    operation: Operation, request: HttpRequest, objects: Sequence[Model], values: dict[str, Any]
) -> tuple[int, list[tuple[Model, FleetdError]]]:
    """How many were done, and which were refused; each on its own, none undoes another."""
    actor, refused = actor_of(request), []
    for obj in objects:
        seen = {"seen": request.POST.get(f"seen-{obj.pk}", "")} if operation.seen else {}
        try:
            with transaction.atomic():
                operation.run(actor, obj, {**values, **seen})
        except FleetdError as error:
            note_refusal(request, error)
            refused.append((obj, error))
    return len(objects) - len(refused), refused


def _report(
    request: HttpRequest,
    operation: Operation,
    done: int,
    refused: list[tuple[Model, FleetdError]],
) -> None:
    if done:
        text = ngettext("%(what)s: %(n)s done.", "%(what)s: %(n)s done.", done)
        messages.success(request, text % {"what": operation.label, "n": done})
    for obj, error in refused[:MAX_REFUSALS_SHOWN]:
        messages.error(request, f"{obj}: {error.message}")
    if len(refused) > MAX_REFUSALS_SHOWN:
        text = _("%(n)s more were refused.")
        messages.error(request, text % {"n": len(refused) - MAX_REFUSALS_SHOWN})


def _confirmation(
    operation: Operation, model_admin: "OrgModelAdmin", request: HttpRequest
) -> forms.Form:
    """The form of the page that asks, filled once it was sent."""
    data = request.POST if CONFIRMED in request.POST else None
    form = (operation.form or forms.Form)(data)
    if operation.word:
        form.fields["word"] = _WordField(operation.word)
    scope_choices(form, model_admin.admin_site, request)
    return form


class _WordField(forms.CharField):
    """A word that must be typed as it is."""

    def __init__(self, word: str) -> None:
        super().__init__(label=_("Type “%(word)s” to confirm") % {"word": word}, max_length=50)
        self.word = word
        self.widget.attrs["autocomplete"] = "off"

    def validate(self, value: Any) -> None:
        """Refuses any other word."""
        super().validate(value)
        if value != self.word:
            raise forms.ValidationError(_("This is not the word."))


def _ask(
    operation: Operation,
    model_admin: "OrgModelAdmin",
    request: HttpRequest,
    objects: Sequence[Model],
    form: forms.Form,
) -> HttpResponse:
    """The page that says what will happen, to which objects."""
    context = {
        **model_admin.admin_site.each_context(request),
        "title": operation.label,
        "opts": model_admin.opts,
        "operation": operation,
        "objects": [(obj, operation.seen(obj) if operation.seen else "") for obj in objects],
        "form": form,
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "back_to": _back_to(request),
        "media": model_admin.media + form.media,
    }
    return TemplateResponse(request, "admin/confirm_operation.html", context)


def _back(request: HttpRequest) -> HttpResponse | None:
    """To the page whose button it was; None stays on the list."""
    target = _back_to(request)
    return HttpResponseRedirect(target) if target else None


def _back_to(request: HttpRequest) -> str:
    """The page to go back to, empty where there is none on this site."""
    target = request.POST.get(BACK_TO, "")
    hosts = {request.get_host()}
    return target if url_has_allowed_host_and_scheme(target, hosts, request.is_secure()) else ""

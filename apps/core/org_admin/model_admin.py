"""The base of every admin page of the product. A system check refuses any other."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.utils import quote
from django.core.exceptions import BadRequest, ValidationError
from django.db import transaction
from django.db.models import DateTimeField, Field, JSONField, Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from apps.core.authz import require_somewhere
from apps.core.errors import FleetdError
from apps.core.ids import parse_uuid
from apps.core.org_admin.cells import FieldView, JsonView, MomentView
from apps.core.org_admin.forms import OrgForm
from apps.core.org_admin.lists import LOOKUPS, BoundedPaginator, ScopedRelatedFilter
from apps.core.org_admin.operations import Operation
from apps.core.org_admin.scoping import OrgScope, actor_of, is_shown, note_refusal

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _TabularInline = admin.TabularInline[Any, Any]
else:
    _ModelAdmin = admin.ModelAdmin
    _TabularInline = admin.TabularInline


class OrgModelAdmin(OrgScope, _ModelAdmin):
    """Pages of one model within the caller's organization.

    Everything is read-only unless `add_permission`, `change_permission`, `delete_permission` or
    `operations` say otherwise; then `add_object`, `change_object` and `delete_object` call
    services. `page` is the address name of the web UI's page of one object.
    """

    form = OrgForm
    add_form: ClassVar[type[OrgForm]] = OrgForm
    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER
    view_on_site = False

    add_fields: ClassVar[tuple[str, ...]] = ()
    change_fields: ClassVar[tuple[str, ...]] = ()
    hidden_fields: ClassVar[tuple[str, ...]] = ()
    extra_fields: ClassVar[tuple[str, ...]] = ()
    # Links by which other pages lead to this list, narrowed.
    linked_by: ClassVar[tuple[str, ...]] = ()
    operations: ClassVar[tuple[Operation, ...]] = ()
    page: ClassVar[str] = ""

    # --- what is written: through services, which check, guard and audit ---

    def add_object(self, request: HttpRequest, form: Any, formsets: Sequence[Any]) -> Model:
        """Makes the object that the form describes."""
        raise NotImplementedError

    def change_object(self, request: HttpRequest, obj: Any, form: Any) -> Model:
        """Changes the object as the form says."""
        raise NotImplementedError

    def delete_object(self, request: HttpRequest, obj: Any) -> None:
        """Deletes the object."""
        raise NotImplementedError

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Shows or sends the form; what the service refuses is shown in it, and nothing is kept."""
        arguments = (request, object_id, form_url, extra_context)
        try:
            with transaction.atomic():
                return super().changeform_view(*arguments)
        except FleetdError as error:
            if request.method != "POST":
                raise
            note_refusal(request, error)
            request.form_refusal = error  # type: ignore[attr-defined]
            return super().changeform_view(*arguments)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Nothing: `save_related` has the form and all of its parts."""

    def save_related(self, request: Any, form: Any, formsets: Any, change: bool) -> None:
        """Calls the service once the whole form is known to be readable."""
        if change:
            made = self.change_object(request, form.instance, form)
        else:
            made = self.add_object(request, form, formsets)
        form.instance.__dict__.update(made.__dict__)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Calls the service."""
        self.delete_object(request, obj)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Asks, then deletes; a refusal leads back to the object with its reason."""
        try:
            with transaction.atomic():
                return super().delete_view(request, object_id, extra_context)
        except FleetdError as error:
            note_refusal(request, error)
            messages.error(request, error.message)
            return HttpResponseRedirect(self._address("change", object_id))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What goes: the objects themselves. Services refuse while anything depends on them.

        Django's own answer walks every link, whoever owns what is at the other end.
        """
        names = [str(obj) for obj in objs]
        may = all(self.has_delete_permission(request, obj) for obj in objs)
        lacking = set() if may else {self.opts.verbose_name}
        return names, {self.opts.verbose_name_plural: len(names)}, lacking, []

    # The audit trail says who did what; Django's own log knows no organization.
    def log_addition(self, request: Any, obj: Any, message: Any) -> Any:
        """Nothing: the service has recorded it."""

    def log_change(self, request: Any, obj: Any, message: Any) -> Any:
        """Nothing: the service has recorded it."""

    def log_deletions(self, request: Any, queryset: Any) -> Any:
        """Nothing: the service has recorded it."""

    def construct_change_message(self, *_arguments: Any, **_options: Any) -> Any:
        """Nothing: the audit entry holds the changes."""
        return ""

    # --- pages ---

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """The object, or "not found": also for one of another organization, before any right."""
        found = super().get_object(request, object_id, from_field)
        if found is None:
            raise Http404
        return found

    def get_form(
        self, request: Any, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[Any]:
        """The form, bound to this request."""
        kwargs.setdefault("form", self.form if obj else self.add_form)
        base = super().get_form(request, obj, change, **kwargs)
        refusal = getattr(request, "form_refusal", None)
        bound = {"site": self.admin_site, "request": request, "refusal": refusal}
        return type(base.__name__, (base,), bound)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Everything but secrets; JSON is indented."""
        if obj is None:
            return list(self.add_fields)
        shown = [f for f in self.opts.concrete_fields if is_shown(f, self.hidden_fields)]
        return [*self.extra_fields, *(self._shown(field) for field in shown)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """All but what the change service takes."""
        if obj is None:
            return []
        return [f for f in self.get_fields(request, obj) if f not in self.change_fields]

    def _shown(self, field: "Field[Any, Any]") -> str | FieldView:
        if isinstance(field, JSONField):
            return JsonView(field.name, str(field.verbose_name))
        if isinstance(field, DateTimeField):
            return MomentView(field.name, str(field.verbose_name))
        return field.name

    def render_change_form(self, request: Any, context: Any, *rest: Any, **options: Any) -> Any:
        """Adds the buttons of the operations that the caller may do."""
        obj = options.get("obj")
        permitted = self._permitted(request, obj) if obj else ()
        if obj:
            context["title"], context["subtitle"] = str(obj), self.opts.verbose_name
        context["operations"] = [o for o in permitted if o.applies(obj)]
        context["related_lists"] = self.related_lists(obj) if obj else []
        context["changelist_address"] = self._address("changelist")
        context["show_save_and_add_another"] = False
        context["show_save_and_continue"] = False
        return super().render_change_form(request, context, *rest, **options)

    def related_lists(self, obj: Any) -> list[tuple[str, str]]:
        """Names and addresses of lists that belong to the object."""
        return []

    def list_address(self, model: type[Model], **filters: Any) -> str:
        """The list of another model, filtered."""
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        query = "&".join(f"{key}={value}" for key, value in filters.items())
        return f"{reverse(name)}?{query}"

    def reveal(self, request: HttpRequest, secret: str) -> None:
        """Keeps a secret just made for the answer to this request, and nowhere else."""
        request.revealed_secret = secret  # type: ignore[attr-defined]

    def secret_page(self, request: HttpRequest, obj: Any, text: str) -> HttpResponse:
        """The answer to the form that made a secret: the only page that ever shows it."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("%(name)s was made") % {"name": obj},
            "opts": self.opts,
            "object": obj,
            "text": text,
            "secret": request.revealed_secret,  # type: ignore[attr-defined]
            "address": self._address("change", quote(obj.pk)),
        }
        return TemplateResponse(request, "admin/secret.html", context)

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        """To the page of what was made."""
        return HttpResponseRedirect(self._address("change", quote(obj.pk)))

    def response_post_save_change(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        """Back to the page, which shows what is now."""
        return HttpResponseRedirect(self._address("change", quote(obj.pk)))

    def response_delete(self, request: Any, obj_display: Any, obj_id: Any) -> Any:
        """To the list."""
        messages.success(request, _("“%(name)s” was deleted.") % {"name": obj_display})
        return HttpResponseRedirect(self._address("changelist"))

    def get_view_on_site_url(self, obj: Any = None) -> str | None:
        """The page of the object in the web UI, where there is one."""
        if obj is None or not self.page:
            return None
        try:
            return reverse(self.page, args=[obj.pk])
        except NoReverseMatch:
            return None

    def history_view(
        self, request: Any, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """What the audit trail says about the object."""
        obj = self.get_object(request, object_id)
        site: Any = self.admin_site
        page = site.history_of(actor_of(request), str(obj.pk), request.GET.get("page_token", ""))
        context = {
            **site.each_context(request),
            "title": _("History: %(name)s") % {"name": obj},
            "object": obj,
            "opts": self.opts,
            "entries": page.items,
            "next_page_token": page.next_page_token,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/object_history.html", context)

    def _address(self, view: str, *args: Any) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}"
        return reverse(name, args=args)

    # --- lists ---

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Filters by other rows are scoped, whether or not the admin thought of it."""
        return [self._scoped_filter(item) for item in self.list_filter]

    def _scoped_filter(self, item: Any) -> Any:
        is_link = isinstance(item, str) and self.opts.get_field(item).is_relation
        return (item, ScopedRelatedFilter) if is_link else item

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """Only what the filters of the list use: an address is no way to ask for anything else."""
        name, _separator, rest = lookup.partition("__")
        parts = [part for part in rest.split("__") if part not in ("", "id", "pk")]
        names = {"pk", "id", *self.linked_by, *(_filter_name(item) for item in self.list_filter)}
        return name in names and len(parts) <= 1 and set(parts) <= LOOKUPS

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """A pasted id finds its row; anything else is searched for in the admin's fields."""
        key = parse_uuid(search_term.strip())
        if key is not None:
            return queryset.filter(pk=key), False
        return super().get_search_results(request, queryset, search_term)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The operations that the caller may do; Django's bulk deletion is not among them."""
        if IS_POPUP_VAR in request.GET:
            return {}
        return {o.name: (_action_of(o), o.name, o.label) for o in self._permitted(request)}

    def response_action(self, request: Any, queryset: Any, *rest: Any, **options: Any) -> Any:
        """Does the action, once the chosen keys are readable."""
        try:
            for key in request.POST.getlist("_selected_action"):
                self.opts.pk.to_python(key)
        except ValidationError as error:
            raise BadRequest("unreadable key") from error
        return super().response_action(request, queryset, *rest, **options)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """The list, called by what is in it. An action without the right to it is refused."""
        sent = request.POST.getlist("action")
        for operation in self.operations:
            if operation.name in sent and not self.may(request, operation.permission):
                require_somewhere(actor_of(request), operation.permission)
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def _permitted(self, request: HttpRequest, obj: Any = None) -> list[Operation]:
        return [o for o in self.operations if self.may(request, o.permission, obj)]


class OrgInline(OrgScope, _TabularInline):
    """Rows within the page of another row; read-only unless it says otherwise."""

    extra = 0
    can_delete = False
    show_change_link = True
    hidden_fields: ClassVar[tuple[str, ...]] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The organization's rows; none for somebody who may not see them."""
        rows = super().get_queryset(request)
        return rows if self.has_view_or_change_permission(request) else rows.none()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """All, unless one can be added here."""
        return () if self.has_add_permission(request, obj) else self.get_fields(request, obj)


def _filter_name(item: Any) -> str:
    """What a filter is called in the address."""
    if isinstance(item, type):
        return str(getattr(item, "parameter_name", ""))
    return str(item if isinstance(item, str) else item[0])


def _action_of(operation: Operation) -> Callable[[Any, Any, Any], HttpResponse | None]:
    """A function, as Django's admin wants actions to be."""

    def run(model_admin: Any, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        return operation.action(model_admin, request, queryset)

    return run

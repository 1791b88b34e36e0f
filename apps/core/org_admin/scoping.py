"""Scoping: rows, choices and rights of an admin page are those of the caller's organization.

`OrgScope` is the common part of `OrgModelAdmin` and `OrgInline`. What a person may see of a model
is decided in one place, the `get_queryset` of that model's own admin; selects, filters and
autocomplete of other admins ask there. Row level security stands behind all of it.
"""

from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.contrib.admin import AdminSite
from django.contrib.admin.options import BaseModelAdmin
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Field, Model, QuerySet
from django.forms import BaseForm, ModelChoiceField
from django.http import HttpRequest

from apps.core.actors import Actor
from apps.core.authz import Permission
from apps.core.errors import FleetdError, PermissionDenied
from apps.core.tenancy import OrgOwnedModel
from apps.core.web import OrgRequest

if TYPE_CHECKING:
    _Base = BaseModelAdmin[Any]
else:
    _Base = object

# Never shown, whatever an admin lists: hashes of secrets and passwords.
SECRET_FIELDS = frozenset({"secret_hash", "password"})


def actor_of(request: HttpRequest) -> Actor:
    """Who is using the admin; the site has put it on the request."""
    return cast(OrgRequest, request).actor


def note_refusal(request: HttpRequest, error: FleetdError) -> None:
    """Lets the audit trail hear of a right that was missing, though the page answers as usual."""
    if isinstance(error, PermissionDenied):
        cast(OrgRequest, request).refusal = error


def rows_seen(site: AdminSite, model: type[Model], request: HttpRequest) -> QuerySet[Any]:
    """The rows of `model` that the caller may see, which is all that a select may offer."""
    if site.is_registered(model):
        model_admin = site.get_model_admin(model)
        rows = model_admin.get_queryset(request)
        return rows if model_admin.has_view_permission(request) else rows.none()
    if issubclass(model, OrgOwnedModel):
        rows = model.objects.for_org(actor_of(request).organization_id)
        return cast(QuerySet[Any], rows)
    return model._default_manager.none()


def scope_choices(form: BaseForm, site: AdminSite, request: HttpRequest) -> None:
    """Lets every select of a form offer, and accept, only rows that the caller may see."""
    for field in form.fields.values():
        if isinstance(field, ModelChoiceField) and field.queryset is not None:
            field.queryset = rows_seen(site, field.queryset.model, request)


class OrgScope(_Base):
    """Rows and rights of one organization.

    Rights are the product's own: each is a declared `Permission`, None where nobody may. Django's
    permissions (`user.has_perm`) are not asked.
    """

    view_permission: ClassVar[Permission | None] = None
    add_permission: ClassVar[Permission | None] = None
    change_permission: ClassVar[Permission | None] = None
    delete_permission: ClassVar[Permission | None] = None
    # The rows that a right reaches which is held in some device groups only. Without it, such a
    # right reaches nothing here: only one that holds in the whole organization counts. It is a
    # static function (actor, permission, rows) -> rows.
    reached: ClassVar[Any] = None
    # The installation's own matters, which are no organization's.
    superusers_only: ClassVar[bool] = False

    def rows(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows that the caller may see; models without an organization override it."""
        if not issubclass(self.model, OrgOwnedModel):
            raise ImproperlyConfigured(f"{type(self).__name__} must say which rows may be seen")
        actor, right = actor_of(request), self.view_permission
        rows = self.model.objects.for_org(actor.organization_id)
        if right and self.reached and actor.may_somewhere(right.name):
            rows = self.reached(actor, right, rows)
        return cast(QuerySet[Any], rows)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The organization's rows, in the admin's order."""
        rows = self.rows(request)
        ordering = self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows

    def get_field_queryset(
        self, db: str | None, db_field: Any, request: HttpRequest
    ) -> QuerySet[Any]:
        """What a link to another row may point to."""
        return rows_seen(self.admin_site, db_field.remote_field.model, request)

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """A select of the organization's rows, whatever the admin asked for."""
        kwargs["queryset"] = self.get_field_queryset(kwargs.get("using"), db_field, request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """The same for many."""
        kwargs["queryset"] = self.get_field_queryset(kwargs.get("using"), db_field, request)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the model is listed in the navigation: for those who may see its rows."""
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the caller may see this."""
        return self.may(request, self.view_permission, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the caller may make one."""
        return self.may(request, self.add_permission, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the caller may change this."""
        return self.may(request, self.change_permission, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the caller may delete this."""
        return self.may(request, self.delete_permission, obj)

    def may(self, request: HttpRequest, permission: Permission | None, obj: Any = None) -> bool:
        """Whether the caller holds a right on an object of its organization.

        Without an object: whether there is anything that the right reaches.
        """
        actor = actor_of(request)
        own = getattr(obj, "organization_id", actor.organization_id) == actor.organization_id
        is_refused = self.superusers_only and not getattr(request.user, "is_superuser", False)
        if permission is None or not own or is_refused:
            return False
        return actor.has_perm(permission.name) or self._reaches(actor, permission, obj)

    def _reaches(self, actor: Actor, permission: Permission, obj: Any) -> bool:
        """Whether a right that is held in some device groups only reaches the object."""
        if self.reached is None or not actor.may_somewhere(permission.name):
            return False
        if obj is None or obj._state.adding:
            return True
        rows = self.model.objects.for_org(actor.organization_id).filter(pk=obj.pk)
        return bool(self.reached(actor, permission, rows).exists())


def is_shown(field: "Field[Any, Any]", hidden: tuple[str, ...]) -> bool:
    """Whether a field appears on a page by default."""
    return field.name not in SECRET_FIELDS and field.name not in ("organization", *hidden)

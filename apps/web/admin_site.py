"""The admin: every page works within one organization, as the web UI does."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.checks import CheckMessage
from django.core.exceptions import BadRequest
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.module_loading import module_has_submodule
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from apps.audit.models import AuditEntry
from apps.audit.permissions import VIEW_ENTRIES
from apps.audit.selectors import list_entries
from apps.core.actors import Actor
from apps.core.authz import needs
from apps.core.errors import FleetdError, Kind, PermissionDenied
from apps.core.org_admin.checks import check_admin
from apps.core.org_admin.scoping import actor_of
from apps.core.pagination import Page, PageRequest
from apps.core.web import OrgRequest, OrgView
from apps.organizations.domain.policy import UNKNOWN, is_strong
from apps.organizations.selectors import list_memberships_of
from apps.web.permissions import OPEN_ADMIN

# Signing in and out is the product's own; objects link to their pages themselves.
NOT_OURS = {"login", "logout", "password_change", "password_change_done", "view_on_site"}
APP_ORDER = (
    "devices",
    "enrollment",
    "updates",
    "organizations",
    "accounts",
    "audit",
    "events",
    "core",
)
RECENT_ENTRIES = 12


def load_pages() -> None:
    """Imports the admin of each of our apps; libraries' own pages know no organization."""
    for config in apps.get_app_configs():
        if config.name.startswith("apps.") and module_has_submodule(config.module, "admin"):
            import_module(f"{config.name}.admin")


class SecondFactorForAdmin(FleetdError):
    """The admin asks for a second factor, whatever the organization does."""

    kind, code = Kind.DENIED, "mfa_required"
    default_message = "The admin asks for a second factor. Set one up, then come back."
    page = "account"


class AdminDoor(OrgView):
    """One view of the admin, within the tenant of whoever asks."""

    site: "FleetdAdminSite"
    page: Callable[..., HttpResponse]

    @needs(OPEN_ADMIN)
    def get(self, request: OrgRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answers, if the person may open the admin and the address can be read."""
        if settings.ADMIN_REQUIRE_MFA and not is_strong(request.actor.sign_in or UNKNOWN):
            messages.warning(request, SecondFactorForAdmin.default_message)
            raise SecondFactorForAdmin
        if any("\x00" in value for values in request.GET.lists() for value in values[1]):
            raise BadRequest("NUL in the address")
        try:
            return self.page(request, *args, **kwargs)
        except DjangoPermissionDenied as error:
            raise PermissionDenied from error

    post = get


class FleetdAdminSite(AdminSite):
    """The admin of the organization that the session has chosen."""

    site_title = gettext_lazy("fleetd admin")
    site_header = gettext_lazy("fleetd admin")
    index_title = gettext_lazy("Administration")
    empty_value_display = "–"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.disable_action("delete_selected")

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Wraps a view: signed in, allowed in, inside `tenant()`; rendered there too."""

        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            door = AdminDoor(site=self, page=view)
            door.setup(request, *args, **kwargs)
            return door.dispatch(request, *args, **kwargs)

        return inner if cacheable else never_cache(inner)

    def get_urls(self) -> Any:
        """Django's own addresses without those of its accounts."""
        load_pages()
        return [url for url in super().get_urls() if getattr(url, "name", None) not in NOT_OURS]

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether the person may open the admin at all; each page asks for its own right."""
        return actor_of(request).has_perm(OPEN_ADMIN.name)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Adds whose admin this is."""
        actor = actor_of(request)
        mine = [m.organization for m in list_memberships_of(cast(UUID, actor.user_id))]
        return {
            **super().each_context(request),
            "actor": actor,
            "organizations": mine,
            "organization": next(o for o in mine if o.id == actor.organization_id),
            "switch_url": reverse("organization-switch"),
            "is_development": not settings.IS_PRODUCTION,
        }

    def get_app_list(self, request: Any, app_label: str | None = None) -> list[Any]:
        """The applications in the order in which people work with them."""
        order = {label: number for number, label in enumerate(APP_ORDER)}
        listed: list[Any] = super().get_app_list(request, app_label)
        return sorted(listed, key=lambda app: order.get(app["app_label"], len(order)))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """The start page, with the newest audit entries for those who may read them."""
        actor = actor_of(request)
        may = actor.has_perm(VIEW_ENTRIES.name)
        recent = list_entries(actor, PageRequest(RECENT_ENTRIES)).items if may else []
        return super().index(request, {"recent_entries": recent, **(extra_context or {})})

    def history_of(self, actor: Actor, object_id: str | UUID, token: str) -> Page[AuditEntry]:
        """What was done to one object, newest first."""
        return list_entries(actor, PageRequest(token=token), object_id=str(object_id))

    def check(self, app_configs: Any) -> list[CheckMessage]:
        """Django's checks of each admin, and ours: only pages that know the organization."""
        load_pages()
        found: list[CheckMessage] = [*super().check(app_configs)]
        wanted = None if app_configs is None else set(app_configs)
        for model, model_admin in self._registry.items():
            if wanted is None or model._meta.app_config in wanted:
                found.extend(check_admin(model_admin))
        return found

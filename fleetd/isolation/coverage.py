"""Every declaration site of the product, from its registries, and whether it declares anything."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import admin

from apps.core.authz import OPEN_TO_ALL, PLATFORM, SIGNED_IN, Permission, declared
from apps.core.web import OrgView
from apps.web.admin_site import load_pages
from apps.web.realtime import topics
from fleetd.isolation.declarations import OF_THE_PERSON, OPEN_VIEWS, TASKS_WITHOUT_ORGANIZATION
from fleetd.isolation.pages import METHODS
from fleetd.isolation.rest import is_rest, rest_routes
from fleetd.isolation.rpc_calls import methods
from fleetd.isolation.tasks import all_tasks
from fleetd.isolation.web_calls import addresses
from fleetd.rpc.registry import WITHOUT_PERMISSION

MARK = "fleetd_permission"


@dataclass(frozen=True)
class Site:
    """One place where a permission is declared, and how to take it away."""

    name: str
    permission: Callable[[], Any]
    owner: Any
    attribute: str

    def is_declared(self) -> bool:
        """Whether a permission that exists is declared here."""
        found = self.permission()
        known = {*declared().values(), SIGNED_IN, OPEN_TO_ALL, PLATFORM}
        return isinstance(found, Permission) and found in known


def sites() -> list[Site]:
    """All of them: routes, RPCs, page handlers, admin pages and operations, topics and tasks."""
    return [*_routes(), *_rpcs(), *_handlers(), *_admin(), *_topics(), *_tasks()]


def undeclared() -> list[str]:
    """Sites that declare nothing, and views that stand on no list."""
    return [site.name for site in sites() if not site.is_declared()] + list(strange_views())


def _routes() -> Iterator[Site]:
    for route in rest_routes():
        handler = route.handler
        yield Site(f"REST {route}", _reader(handler, "permission"), handler, "permission")


def _rpcs() -> Iterator[Site]:
    for method in methods():
        if method.name in WITHOUT_PERMISSION:
            continue
        bound = getattr(method.service.servicer(), method.operation)
        function = getattr(bound, "__func__", bound)
        yield Site(f"RPC {method.name}", _reader(function, MARK), function, MARK)


def _handlers() -> Iterator[Site]:
    seen = set()
    for address in addresses():
        view = getattr(address.view, "view_class", None)
        if view is None or not issubclass(view, OrgView) or view in seen:
            continue
        seen.add(view)
        for method in (*METHODS, "put", "patch", "delete"):
            if hasattr(view, method):
                handler, name = getattr(view, method), f"page {method} {view.__qualname__}"
                yield Site(name, _reader(handler, MARK), handler, MARK)


def _admin() -> Iterator[Site]:
    load_pages()
    for model, page in admin.site._registry.items():
        if getattr(page, "superusers_only", False):
            continue
        kind = type(page)
        name = f"admin {model._meta.label}"
        yield Site(name, _reader(kind, "view_permission"), kind, "view_permission")


def _topics() -> Iterator[Site]:
    tables: tuple[dict[str, Any], ...] = (topics.OF_ORGANIZATION, topics.OF_OBJECT)
    for table in tables:
        for name in table:
            yield Site(f"topic {name}", partial(_of_topic, table, name), table, name)


def _of_topic(table: dict[str, Any], name: str) -> Any:
    """A topic of objects is a permission and what finds the object."""
    found = table.get(name)
    return found[0] if isinstance(found, tuple) else found


def _tasks() -> Iterator[Site]:
    for name, task in all_tasks().items():
        if name not in TASKS_WITHOUT_ORGANIZATION:
            yield Site(f"task {name}", _reader(task.run, MARK), task.run, MARK)


def _reader(owner: Any, attribute: str) -> Callable[[], Any]:
    return lambda: getattr(owner, attribute, None)


def strange_views() -> Iterator[str]:
    """Views that are of no kind that declares, and stand on no list with their reason."""
    for address in addresses():
        view = getattr(address.view, "view_class", None) or getattr(address.view, "cls", None)
        if is_rest(address.view) or address.pattern.startswith("admin/"):
            continue
        if isinstance(view, type) and issubclass(view, OrgView):
            continue
        shown = view or address.view
        name = f"{shown.__module__}.{getattr(shown, '__qualname__', type(shown).__name__)}"
        if name not in OPEN_VIEWS and not any(name.startswith(p) for p in OF_THE_PERSON):
            yield f"view {name} at {address}"

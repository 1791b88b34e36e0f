"""The admin: every page of every registered model, its lists, filters, searches and actions."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.urls import reverse

from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.web.admin_site import load_pages
from fleetd.isolation import hints
from fleetd.isolation.answers import shape
from fleetd.isolation.pages import Page, PageWalk, pages
from fleetd.isolation.positions import foreign_ids
from fleetd.isolation.report import DoorReport
from fleetd.isolation.web_calls import Probe, nobody, session_caller, undone
from fleetd.isolation.world import World, kind_of

CONFIRMED = {"confirmed": "1", "reason": "because", "add_tags": "mine", "index": "0"}


class AdminWalk:
    """Walks registered models as somebody of the staff."""

    def __init__(self, world: World, pages: PageWalk, report: DoorReport) -> None:
        self.world, self.pages, self.report = world, pages, report
        self.caller = pages.caller

    def walk(self, model_admin: Any) -> None:
        """Lists in all ways of asking for them, and actions."""
        name = model_admin.model._meta.label
        self.report.begin(f"admin {name}")
        if not isinstance(model_admin, OrgModelAdmin):
            self.report.skip(f"admin {name}", "is not an OrgModelAdmin: it knows no organization")
        with undone():
            self._lists(model_admin, name)
            self._autocomplete(model_admin, name)
            for operation in getattr(model_admin, "operations", ()):
                self._action(model_admin, operation)
            self.pages.look_at_rows(f"admin {name}")

    def _lists(self, model_admin: Any, name: str) -> None:
        probe = Probe(self.world, self.caller, f"admin {name} list")
        path = _address(model_admin, "changelist")
        for words in ({}, {"_popup": "1"}, {"_facets": "True"}, {"all": ""}):
            probe.look(self.caller.call("GET", path, query=words), f"admin {name} list {words}")
        for field in _narrowing(model_admin):
            self._compare(probe, path, field, model_admin)

    def _compare(self, probe: Probe, path: str, field: str, model_admin: Any) -> None:
        """A filter or search with what only theirs has, against what nobody has."""

        def send(value: str) -> Any:
            return self.caller.call("GET", path, query={field: value})

        foreign = foreign_ids(self.world.theirs, kind_of(model_admin.model), few=True)
        probe.compare(field, send, foreign | {"mark": self.world.theirs.mark}, [])

    def _autocomplete(self, model_admin: Any, name: str) -> None:
        inlines = [
            inline(model_admin.model, model_admin.admin_site) for inline in model_admin.inlines
        ]
        for page in (model_admin, *inlines):
            opts = page.model._meta
            for field in page.autocomplete_fields:
                for term in ("", self.world.theirs.mark):
                    query = {
                        "app_label": opts.app_label,
                        "model_name": opts.model_name,
                        "field_name": field,
                        "term": term,
                    }
                    answer = self.caller.call("GET", reverse("admin:autocomplete"), query=query)
                    where = f"admin autocomplete {opts.label}.{field}"
                    Probe(self.world, self.caller, where).look(answer, where)

    def _action(self, model_admin: Any, operation: Any) -> None:
        """An action on rows of theirs, against one on rows that never were."""
        path = _address(model_admin, "changelist")
        kind = kind_of(model_admin.model)
        where = f"admin {model_admin.model._meta.label} action {operation.name}"
        probe = Probe(self.world, self.caller, where)
        shapes = []
        for value in (*self.world.theirs.of(kind)[:1], nobody()):
            data = {
                **CONFIRMED,
                "action": operation.name,
                "word": operation.word,
                "_selected_action": value,
            }
            answer = self.pages.post(path, data)
            probe.look(answer, where, value)
            shapes.append(shape(answer, self.world, value))
        if shapes[0] != shapes[-1]:
            self.report.leak(where, "answers rows of theirs unlike rows that never were")


def _narrowing(model_admin: Any) -> Iterator[str]:
    """What a list can be narrowed by: filters on other rows, links from pages, and the search."""
    if model_admin.search_fields:
        yield "q"
    for item in (*model_admin.list_filter, *getattr(model_admin, "linked_by", ())):
        name = item[0] if isinstance(item, tuple) else item
        if isinstance(name, type):
            yield str(getattr(name, "parameter_name", ""))
        else:
            yield f"{name}__id__exact"
            yield f"{name}__exact"


def _address(model_admin: Any, view: str) -> str:
    opts = model_admin.opts
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_{view}")


def walk_admin(
    world: World, report: DoorReport, chosen: list[Any] | None = None, of: list[Page] | None = None
) -> None:
    """Walks every address of the admin, then every registered model."""
    load_pages()
    caller = session_caller(world.ours, report)
    walk = PageWalk(world, caller, world.theirs.checksum(), few=True)
    for page in pages(of_admin=True) if of is None else of:
        if page.address.name in hints.ADMIN_ELSEWHERE:
            continue
        report.begin(str(page))
        walk.walk(page)
    models = AdminWalk(world, walk, report)
    for model_admin in admin.site._registry.values() if chosen is None else chosen:
        models.walk(model_admin)

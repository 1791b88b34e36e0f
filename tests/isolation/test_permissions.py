"""What a route or page declares is what is required: without it, the caller is refused."""

import dataclasses
from typing import Any

import pytest

from apps.accounts.services.api_keys import create_api_key
from apps.core.authz import OPEN_TO_ALL, SIGNED_IN, declared, grantable, permission_needed
from apps.core.tenancy import tenant
from apps.core.web import OrgView
from fleetd.isolation import hints
from fleetd.isolation.pages import Page, methods_of, pages
from fleetd.isolation.report import DoorReport
from fleetd.isolation.rest import RestWalk, Route, rest_routes
from fleetd.isolation.web_calls import Caller, key_caller, nobody, session_caller, undone
from fleetd.isolation.world import World

FREE = (SIGNED_IN, OPEN_TO_ALL)


def _narrow(world: World, name: str, report: DoorReport) -> Caller:
    """A key of the owner's with every right but one."""
    scopes = sorted(grantable() - {name})
    with tenant(world.ours.id):
        made = create_api_key(world.ours.furnished.actor, name="narrow", scopes=scopes)
    caller = key_caller(world.ours, report)
    caller.headers = {"Authorization": f"Bearer {made.secret}"}
    return caller


def test_a_route_refuses_whoever_lacks_what_it_declares(world: World, report: DoorReport) -> None:
    keys: dict[str, Caller] = {}
    owner = RestWalk(world, key_caller(world.ours, report), True, before=world.theirs.checksum())
    wrong = []
    for route in rest_routes():
        if route.permission in FREE:
            continue
        name = route.permission.name
        keys[name] = keys.get(name) or _narrow(world, name, report)
        if not _is_refused(route, owner, keys[name], name):
            wrong.append(f"{route}: {name}")
    assert wrong == [], "\n".join(wrong)


def _is_refused(route: Route, owner: RestWalk, narrow: Caller, name: str) -> bool:
    """403 with the name of the missing right, at an object that the owner finds."""
    with undone():
        ids = owner.own(route)
    with undone():
        answer = dataclasses.replace(owner, caller=narrow).send(route, ids, owner.body(route))
    return answer.status == "403" and f'"permission":"{name}"' in answer.text


def _handlers() -> list[tuple[Page, Any]]:
    """Every handler of a page, with what it declares."""
    found = []
    for page in pages(of_admin=False):
        view = getattr(page.address.view, "view_class", None)
        if view is not None and issubclass(view, OrgView) and methods_of(page.address.view):
            needed = permission_needed(getattr(view, page.method.lower()))
            found.append((page, needed))
    return found


def test_a_page_refuses_whoever_lacks_what_it_declares(
    world: World, report: DoorReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = session_caller(world.ours, report)
    monkeypatch.setattr("apps.core.authz._SOURCES", [])  # nothing but the role gives rights
    wrong = []
    for page, needed in _handlers():
        if needed in FREE:
            continue
        monkeypatch.setattr("apps.organizations.models.permissions_of", _all_but(needed.name))
        ids = {n: nobody("1" if k == "int" else "") for n, k in page.address.parameters}
        path = page.address.at(ids)
        with undone():
            if page.method == "GET":
                answer = caller.call("GET", path)
            else:
                answer = caller.call("POST", path, form=hints.FORM)
        if answer.status != "403" or needed.name not in answer.text:
            wrong.append(f"{page}: {answer.status} without {needed.name}")
    assert wrong == [], "\n".join(wrong)


def _all_but(name: str) -> Any:
    return lambda role: frozenset(declared()) - {name}

"""The isolation matrix of REST, generated from the routes: another's id is an id that never was."""

from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from apps.core.authz import OPEN_TO_ALL, declared
from apps.core.ids import uuid7
from apps.core.public import SIGNED_IN
from apps.organizations.models import Membership
from tests import factories
from tests.factories import Cast
from tests.isolation.world import (
    BODIES,
    Route,
    checksums,
    furnish,
    id_fields,
    routes,
    with_own_ids,
)
from tests.rest.conftest import Api

ROUTES = routes()
NO_OPERATION = {"upload_artifact", "download_artifact"}


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> None:
    """Artifacts lie in a folder of the test's own."""
    settings.STORAGE_URL = f"file://{tmp_path}"


@pytest.fixture
def api(alice_member: Membership) -> Api:
    """Alice, whose key has been used already, so that its use is noted."""
    made = Api(factories.api_key(alice_member))
    made.get("auth/me")
    return made


@pytest.fixture
def own(acme: Cast, alice_member: Membership) -> dict[str, str]:
    """One of everything of acme."""
    return furnish(acme, alice_member)


@pytest.fixture
def foreign(globex: Cast, charlie_member: Membership) -> dict[str, str]:
    """One of everything of globex."""
    return furnish(globex, charlie_member)


def body_of(route: Route) -> dict[str, Any]:
    return BODIES.get(route.handler.__name__, {})


def ask(api: Api, route: Route, path: str, body: dict[str, Any]) -> Any:
    """Sends a request and takes back whatever it did."""
    with transaction.atomic():
        if route.method == "GET":
            response = api.get(path, **body)
        elif route.method == "DELETE":
            response = api.delete(path)
        else:
            response = api.send(route.method, path, body)
        if response.status_code < 400:
            transaction.set_rollback(True)
    return response


def shape(response: Any, *ids: str) -> tuple[int, str]:
    """Status and body, without what differs between any two requests."""
    text = b"".join(response) if response.streaming else response.content
    document = text.decode(errors="replace")
    for value in (*ids, response.get("Request-Id", "-")):
        document = document.replace(value, "_")
    return response.status_code, document


def reached(api: Api, route: Route, own: dict[str, str]) -> list[str]:
    """The route with the own ids that it is made for."""
    paths = [route.at(**dict.fromkeys(route.parameters, value)) for value in own.values()]
    return [
        path
        for path in dict.fromkeys(paths)
        if not route.parameters or ask(api, route, path, filled(route, own)).status_code != 404
    ][:1]


def problems(api: Api, route: Route, foreign: dict[str, str], own: dict[str, str]) -> list[str]:
    """Where a foreign id is answered unlike one that never was."""
    found = []
    nobody = str(uuid7())
    for name in route.parameters:
        expected = shape(ask(api, route, route.at(**{name: nobody}), body_of(route)), nobody)
        if expected[0] != 404:
            found.append(f"{route} {name}: {expected}")
        for kind, value in foreign.items():
            got = shape(ask(api, route, route.at(**{name: value}), body_of(route)), value)
            if got != expected:
                found.append(f"{route} {name}={kind} of globex: {got} is not {expected}")
    operation = getattr(route.handler, "operation", None)
    fields = id_fields(operation.request_class.DESCRIPTOR) if operation else []
    for field in (f for f in fields if f.path[-1] not in route.parameters):
        base = filled(route, own)
        for path in reached(api, route, own):
            expected = shape(ask(api, route, path, field.put(base, nobody)), nobody)
            for kind, value in foreign.items():
                got = shape(ask(api, route, path, field.put(base, value)), value)
                if got != expected:
                    found.append(f"{route} {field.path}={kind} of globex: {got}, not {expected}")
    return found


@pytest.mark.django_db
def test_an_id_of_another_organization_is_one_that_never_was(
    api: Api, own: dict[str, str], foreign: dict[str, str], acme: Cast, globex: Cast
) -> None:
    before = checksums(globex.id), checksums(acme.id)
    found = [p for route in ROUTES for p in problems(api, route, foreign, own)]
    assert found == []
    assert (checksums(globex.id), checksums(acme.id)) == before


@pytest.mark.django_db
def test_the_matrix_reaches_every_object_with_its_own_id(
    api: Api, own: dict[str, str], acme: Cast
) -> None:
    """Were every request refused for another reason, the matrix above would prove nothing."""
    unreached = []
    for route in (r for r in ROUTES if r.parameters):
        body = filled(route, own)
        paths = (route.at(**dict.fromkeys(route.parameters, v)) for v in own.values())
        if all(ask(api, route, path, body).status_code == 404 for path in paths):
            unreached.append(str(route))
    assert unreached == []


@pytest.mark.django_db
def test_lists_hold_nothing_of_another_organization(
    api: Api, own: dict[str, str], foreign: dict[str, str]
) -> None:
    for route in (r for r in ROUTES if r.method == "GET" and not r.parameters):
        text = ask(api, route, route.at(), {}).content.decode()
        assert [k for k, v in foreign.items() if v in text] == [], str(route)


def undeclared(found: list[Route]) -> list[str]:
    """Routes whose handler declares no permission that exists."""
    known = {*declared().values(), SIGNED_IN, OPEN_TO_ALL}
    return [str(r) for r in found if getattr(r.handler, "permission", None) not in known]


def test_every_route_declares_its_permission() -> None:
    assert len(ROUTES) > 35
    assert undeclared(ROUTES) == []


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_declaration_that_is_taken_away_is_missed(
    route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(route.handler, "permission")
    assert undeclared(ROUTES) == [str(route)]


def test_every_route_is_an_operation_or_known_to_be_none() -> None:
    assert {
        r.handler.__name__ for r in ROUTES if not hasattr(r.handler, "operation")
    } == NO_OPERATION


@pytest.mark.django_db
def test_the_declared_permission_is_the_one_that_is_required(
    own: dict[str, str], alice_member: Membership, acme: Cast
) -> None:
    """A key with every right but the declared one is refused, and told that one."""
    wrong = []
    for route in ROUTES:
        needed = route.handler.permission
        if needed in (SIGNED_IN, OPEN_TO_ALL):
            continue
        scopes = tuple(sorted(declared().keys() - {needed.name}))
        narrow = Api(factories.api_key(alice_member, scopes=scopes))
        ids = own.values() if route.parameters else [""]
        paths = (route.at(**dict.fromkeys(route.parameters, v)) for v in ids)
        answers = (ask(narrow, route, path, filled(route, own)) for path in paths)
        denied = next((a.json() for a in answers if a.status_code == 403), None)
        if denied is None or denied["metadata"] != {"permission": needed.name}:
            wrong.append(f"{route}: {denied}")
    assert wrong == []


def filled(route: Route, own: dict[str, str]) -> dict[str, Any]:
    """A body whose ids exist."""
    operation = getattr(route.handler, "operation", None)
    if operation is None or route.method == "GET":
        return body_of(route)
    return with_own_ids(body_of(route), operation.request_class.DESCRIPTOR, own)

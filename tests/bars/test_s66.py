"""S66: whatever changes something, or is refused, has exactly one audit row.

Given every state-changing REST, gRPC, admin, CLI and task action and every denied or failed login,
then exactly one audit row is written in the same transaction with who, what, when (UTC), org, ip,
request id, result and changed fields; roll-back leaves none. Generated from the lists of
operations: a new one without a row turns this red.
"""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.contrib import admin
from django.core.management import call_command

from apps.core.authz import declared
from apps.core.tenancy import tenant
from apps.organizations.models import Membership, Organization
from apps.web.admin_site import load_pages
from fleetd.rpc.naming import snake
from tests import factories
from tests.bars.audited import (
    ELSEWHERE,
    OPERATORS_ONLY,
    RECIPES,
    TASKS,
    TASKS_TRIED,
    Stage,
    admin_object,
    admin_values,
    browser,
    entries,
    just_now,
    last_sequence,
)
from tests.factories import Cast
from tests.isolation.world import METHODS, Route, checksums, routes
from tests.rest.conftest import Api

pytestmark = pytest.mark.django_db

_APPS = {
    "audit",
    "events",
    "accounts",
    "organizations",
    "teams",
    "devices",
    "enrollment",
    "updates",
}
WRITES = {r.handler.__name__: r for r in routes() if r.method != "GET"}
TRIED = sorted(WRITES.keys() - ELSEWHERE.keys())


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    settings.STORAGE_URL = f"file://{tmp_path}"


@pytest.fixture
def stage(acme: Cast, alice_member: Membership, bob_member: Membership) -> Stage:
    api = Api(factories.api_key(alice_member))
    api.get("auth/me")  # the key's first use is noted
    return Stage(acme, alice_member, bob_member, api, WRITES)


def test_s66_every_operation_that_writes_is_tried_or_known() -> None:
    assert sorted(WRITES.keys() - RECIPES.keys() - ELSEWHERE.keys()) == []
    assert len(TRIED) > 40


def test_s66_rpc_writes_are_the_same_operations() -> None:
    """RPC methods are views of the operations that REST is tried with."""
    reads = ("list_", "get_", "stream_", "explain_", "preview_", "find_", "forecast_", "export_")
    names = {snake(m.descriptor.name) for m in METHODS}
    assert sorted(n for n in names - WRITES.keys() if not n.startswith(reads)) == []


@pytest.mark.parametrize("name", TRIED)
def test_s66_one_row_for_a_refusal_none_after_a_roll_back_one_for_the_change(
    stage: Stage, name: str
) -> None:
    ids, body = RECIPES[name](stage)
    wide = stage.api
    stage.api = Api(factories.api_key(stage.alice, scopes=("audit.view_entries",)))
    _is_refused(stage, WRITES[name], ids, body)
    stage.api = wide
    if name != "upload_artifact":  # which is no operation on messages
        _is_rolled_back(stage, WRITES[name], ids, body)
    _is_done(stage, WRITES[name], ids, body)


def _is_refused(stage: Stage, route: Route, ids: dict[str, str], body: Any) -> None:
    before = last_sequence(stage.acme.id)
    answer = stage.send(route, ids, body)
    assert answer.status_code == 403, (answer.status_code, answer.content)
    (entry,) = entries(stage.acme.id, before)
    assert (entry.result, entry.source, entry.actor_kind) == ("denied", "rest", "api_key")
    assert (entry.address, entry.request_id) == ("127.0.0.1", answer["Request-Id"])
    assert entry.action in declared()


def _is_rolled_back(stage: Stage, route: Route, ids: dict[str, str], body: Any) -> None:
    """The service has done everything; then the request fails."""
    before = checksums(stage.acme.id)
    operation = route.handler.operation
    original = operation.function
    object.__setattr__(operation, "function", _failing(original))  # it is frozen
    try:
        answer = stage.send(route, ids, body)
    finally:
        object.__setattr__(operation, "function", original)
    assert answer.status_code == 500
    assert checksums(stage.acme.id) == before


def _failing(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(actor: Any, request: Any) -> Any:
        function(actor, request)
        raise RuntimeError("after everything was written")

    run.__name__ = getattr(function, "__name__", "run")
    return run


def _is_done(stage: Stage, route: Route, ids: dict[str, str], body: Any) -> None:
    before = last_sequence(stage.acme.id)
    answer = stage.send(route, ids, body)
    assert answer.status_code < 300, (answer.status_code, answer.content)
    found = entries(stage.acme.id, before)
    assert len(found) == 1, [(e.action, e.object_label) for e in found]
    (entry,) = found
    assert entry.action in declared() or entry.action.endswith(f".{route.handler.__name__}")
    assert entry.organization_id == stage.acme.id
    assert (entry.actor_kind, entry.actor_label != "") == ("api_key", True)
    assert entry.actor_id is not None
    assert (entry.source, entry.result) == ("rest", "success")
    assert (entry.address, entry.request_id) == ("127.0.0.1", answer["Request-Id"])
    assert just_now(entry)
    assert entry.changes or entry.object_id, "neither a changed field nor an object"


# --- The admin ---

load_pages()
PAGES = {model.__name__: page for model, page in admin.site._registry.items()}
OPERATIONS = [
    (name, o)
    for name, page in PAGES.items()
    for o in getattr(page, "operations", ())
    if o.name not in OPERATORS_ONLY
]
# Pages with a form of their own; each calls a service that is tried above. Those of devices,
# software, keys and the organization are posted in tests/admin/test_writing.py, which counts rows.
FORMS = {
    ("ApiKey", "add"), ("Organization", "change"), ("Membership", "add"), ("Device", "change"),
    ("DeviceGroup", "add"), ("DeviceGroup", "change"), ("DeviceGroup", "delete"),
    ("EnrollmentToken", "add"),
    ("Artifact", "delete"), ("Release", "add"), ("Release", "delete"), ("Rollout", "add"),
    ("Team", "add"), ("Team", "change"), ("Team", "delete"), ("TeamMember", "add"),
    ("CustomRole", "add"), ("CustomRole", "change"), ("CustomRole", "delete"),
}  # fmt: skip


def test_s66_every_form_of_the_admin_is_known() -> None:
    found = {
        (name, kind)
        for name, page in PAGES.items()
        for kind in ("add", "change", "delete")
        if getattr(page, f"{kind}_permission", None) is not None
    }
    assert found == FORMS


@pytest.mark.parametrize(("model", "operation"), OPERATIONS, ids=lambda v: getattr(v, "name", v))
def test_s66_one_row_for_one_action_of_the_admin(stage: Stage, model: str, operation: Any) -> None:
    key = admin_object(stage, model, operation.name)
    values = admin_values(stage, operation, key)
    client = browser(stage.alice)
    before = last_sequence(stage.acme.id)
    label = PAGES[model].model._meta
    answer = client.post(
        f"/admin/{label.app_label}/{label.model_name}/",
        {"action": operation.name, "_selected_action": key, **values},
    )
    assert answer.status_code == 302, answer.content[:2000]
    (entry,) = entries(stage.acme.id, before)
    assert (entry.source, entry.result, entry.actor_kind) == ("admin", "success", "user")
    assert (entry.actor_id, entry.action in declared()) == (stage.alice.user_id, True)
    assert (entry.address, entry.request_id) == ("127.0.0.1", answer["Request-Id"])
    assert entry.changes or entry.object_id


# --- Tasks ---


def test_s66_every_task_is_tried_or_known() -> None:
    declared_tasks = {n for n in current_app.tasks if n.partition(".")[0] in _APPS}
    assert declared_tasks - {*TASKS, *TASKS_TRIED, "organizations.sweep"} == set()


def test_s66_devices_that_join_on_their_own_have_one_row(stage: Stage) -> None:
    plan = {"phases": [{"percent": 100}], "is_dynamic": True}
    body = {"name": "r", "release_id": stage.release(), "target": {}, "plan": plan}
    rollout = stage.call("create_rollout", **body)
    stage.call("start_rollout", {"id": rollout["id"]})
    with tenant(stage.acme.id):
        factories.device(stage.acme.id)
    before = last_sequence(stage.acme.id)
    current_app.tasks["updates.join_rollout"](
        organization_id=str(stage.acme.id), rollout_id=rollout["id"]
    )
    found = entries(stage.acme.id, before)
    assert [(e.action, e.source) for e in found] == [("updates.join_rollout", "task")]


def test_s66_devices_that_leave_an_older_rollout_have_one_row(stage: Stage) -> None:
    release = stage.release()
    with tenant(stage.acme.id):
        factories.device(stage.acme.id)
    rollouts = []
    for supersedes in (False, True):
        plan = {"phases": [{"percent": 100}], "supersedes": supersedes}
        body = {"name": "r", "release_id": release, "target": {}, "plan": plan}
        rollouts.append(stage.call("create_rollout", **body)["id"])
        stage.call("start_rollout", {"id": rollouts[-1]})
    before = last_sequence(stage.acme.id)
    current_app.tasks["updates.supersede_devices"](
        organization_id=str(stage.acme.id), rollout_id=rollouts[0]
    )
    found = entries(stage.acme.id, before)
    assert [(e.action, e.source) for e in found] == [("updates.supersede_devices", "task")]


def test_s66_what_a_task_decides_has_its_row(stage: Stage) -> None:
    """The rollout of nobody: each phase that opens and is promoted is one decision, one row."""
    from apps.updates.models import Rollout, RolloutEvent

    rollout = stage.call("create_rollout", name="r", release_id=stage.release(), target={})
    stage.call("start_rollout", {"id": rollout["id"]})
    before = last_sequence(stage.acme.id)
    with tenant(stage.acme.id):
        events = RolloutEvent.objects.for_org(stage.acme.id)
        known = set(events.values_list("id", flat=True))
    current_app.tasks["updates.advance_rollout"](
        organization_id=str(stage.acme.id), rollout_id=rollout["id"]
    )
    with tenant(stage.acme.id):
        assert Rollout.objects.for_org(stage.acme.id).filter(id=rollout["id"]).exists()
        fresh = [e for e in events.order_by("sequence") if e.id not in known]
    found = entries(stage.acme.id, before)
    assert {e.source for e in found} <= {"task"}
    assert {e.actor_kind for e in found} <= {"system"}
    assert len(found) <= len(fresh)


# --- Sign-ins ---


@pytest.mark.parametrize(
    ("password", "result", "status"),
    [(factories.PASSWORD, "success", 200), ("not it", "denied", 401)],
)
def test_s66_one_row_for_one_sign_in(stage: Stage, password: str, result: str, status: int) -> None:
    email = stage.alice.user.email
    before = last_sequence(stage.acme.id)
    answer = Api().post("auth/login", email=email, password=password)
    assert answer.status_code == status, answer.content
    (entry,) = entries(stage.acme.id, before)
    assert (entry.action, entry.result, entry.source) == ("accounts.sign_in", result, "rest")
    assert (entry.actor_id, entry.address) == (stage.alice.user_id, "127.0.0.1")
    assert (entry.request_id, "method" in entry.changes) == (answer["Request-Id"], True)
    assert password not in str(entry.changes)


# --- Commands ---


def test_s66_commands_that_change_something_are_recorded(acme: Cast, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(factories.PASSWORD)
    call_command(
        "createowner", "olga@new.test", organization="New One", password_file=secret,
        stdout=StringIO(),
    )  # fmt: skip
    made = Organization.objects.get(name="New One")
    found = entries(made.id)
    assert found, "the new organization has no entry"
    assert len({e.action for e in found}) == len(found)
    assert secret.read_text() not in str([e.changes for e in found])

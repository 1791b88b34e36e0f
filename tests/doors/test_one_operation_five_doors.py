"""Pausing and approving a rollout through five doors: the same outcome, state and audit count."""

from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from google.protobuf.message import Message

from apps.audit.models import AuditEntry
from apps.core.authz import Role
from apps.core.errors import FleetdError
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.organizations.services.authentication import forget_callers
from apps.updates.errors import ApprovalNeedsAnotherPerson, PlanChanged, RolloutNotRunning
from apps.updates.errors import RolloutNotPendingApproval as NotPending
from apps.updates.models import Rollout
from apps.updates.services import planning
from apps.updates.services import rollouts as services
from fleetd.pb.public.v1 import fleet_pb2
from tests import factories
from tests.rest.conftest import Api
from tests.rpc.conftest import open_doors
from tests.updates.conftest import make_release, make_rollout

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
DONE = "done"


@dataclass(frozen=True)
class Attempt:
    """One operation on one rollout by one member."""

    operation: str
    rollout_id: str
    values: dict[str, str]
    member: Membership


@dataclass(frozen=True)
class Outcome:
    """What a door answered: `done` or a code; doors for people say `refused` and a sentence."""

    code: str
    text: str = ""


def by_service(attempt: Attempt) -> Outcome:
    actor = factories.actor(attempt.member)
    try:
        with tenant(actor.organization_id):
            module = services if hasattr(services, attempt.operation) else planning
            operation = getattr(module, attempt.operation)
            operation(actor, attempt.rollout_id, **attempt.values)
    except FleetdError as error:
        return Outcome(error.code)
    return Outcome(DONE)


def by_rest(attempt: Attempt) -> Outcome:
    verb = attempt.operation.removesuffix("_rollout")
    api = Api(factories.api_key(attempt.member))
    response = api.post(f"rollouts/{attempt.rollout_id}:{verb}", **attempt.values)
    return Outcome(DONE if response.status_code == 200 else response.json()["code"])


def by_rpc(attempt: Attempt) -> Outcome:
    name = "".join(word.title() for word in attempt.operation.split("_"))
    request: Message = getattr(fleet_pb2, f"{name}Request")(id=attempt.rollout_id, **attempt.values)
    headers = {"authorization": f"Bearer {factories.api_key(attempt.member)}"}

    async def call() -> Outcome:
        async with open_doors() as doors:
            method, answer = f"public.v1.FleetService/{name}", getattr(fleet_pb2, f"{name}Response")
            got = await doors.call("grpc", method, request, answer, headers)
        return Outcome(DONE if got.status == "OK" else got.code)

    forget_callers()
    return async_to_sync(call)()


def by_ui(attempt: Attempt) -> Outcome:
    verb = attempt.operation.removesuffix("_rollout")
    client = Client()
    client.force_login(attempt.member.user, backend=BACKEND)
    address = f"/rollouts/{attempt.rollout_id}/{verb}"
    return _said(client.post(address, attempt.values, follow=True))


def by_admin(attempt: Attempt) -> Outcome:
    client = Client()
    client.force_login(attempt.member.user, backend=BACKEND)
    values = {
        "action": attempt.operation,
        "_selected_action": attempt.rollout_id,
        "confirmed": "yes",
        "index": "0",
        f"seen-{attempt.rollout_id}": attempt.values.get("plan_hash", ""),
    }
    return _said(client.post("/admin/updates/rollout/", values, follow=True))


def _said(response: Any) -> Outcome:
    """What a page tells a person: only what it calls a success is one."""
    messages = list(response.context["messages"]) if response.context else []
    levels = {m.level_tag for m in messages}
    is_done = response.status_code == 200 and levels == {"success"}
    text = " ".join(str(m) for m in messages) or unescape(response.content.decode())
    return Outcome(DONE if is_done else "refused", text)


DOORS: dict[str, Callable[[Attempt], Outcome]] = {
    "service": by_service,
    "rest": by_rest,
    "rpc": by_rpc,
    "ui": by_ui,
    "admin": by_admin,
}
FOR_PEOPLE = {"ui", "admin"}


@dataclass
class Scene:
    """Two rollouts of acme, made by dora, and those who try something on them."""

    draft: Rollout
    running: Rollout
    pending: Rollout
    members: dict[str, Membership]

    def do(self, member: str, operation: str, rollout: Rollout) -> None:
        """Prepares: through the service."""
        values = {"plan_hash": rollout.plan_hash} if operation == "approve_rollout" else {}
        outcome = by_service(Attempt(operation, str(rollout.id), values, self.members[member]))
        assert outcome.code == DONE


@pytest.fixture
def scene(
    alice_member: Membership,
    bob_member: Membership,
    charlie_member: Membership,
    settings: Any,
    tmp_path: Path,
) -> Scene:
    """Acme with rollouts in three states."""
    settings.STORAGE_URL = f"file://{tmp_path}"
    organization_id = alice_member.organization_id
    dora = factories.membership(organization_id, factories.user("dora@acme.test"), Role.DEPLOYER)
    maker = factories.actor(dora)
    with tenant(organization_id):
        release = make_release(maker)
        draft = make_rollout(maker, release)
        running = services.start_rollout(maker, make_rollout(maker, release).id)
        pending = make_rollout(maker, release, requires_approval=True)
        planning.submit_rollout(maker, pending.id)
    people = {"alice": alice_member, "bob": bob_member, "charlie": charlie_member, "dora": dora}
    return Scene(draft, running, pending, people)


def audited(scene: Scene, operation: str) -> int:
    """How often the operation has been recorded as done."""
    with tenant(scene.draft.organization_id):
        rows = AuditEntry.objects.for_org(scene.draft.organization_id)
        return int(rows.filter(action=f"updates.{operation}", result="success").count())


def state_of(rollout: Rollout) -> str:
    with tenant(rollout.organization_id):
        return str(Rollout.objects.for_org(rollout.organization_id).get(id=rollout.id).state)


@dataclass(frozen=True)
class Case:
    """Who does what to which rollout after what; what must come of it."""

    name: str
    operation: str
    member: str
    rollout: str
    code: str
    state: str
    audits: int
    before: tuple[str, str] | None = None
    plan_hash: str = ""
    text: str = ""


CASES = [
    Case("pauses", "pause_rollout", "alice", "running", DONE, "paused", 1),
    Case(
        "paused already", "pause_rollout", "alice", "running", DONE, "paused", 0,
        before=("alice", "pause_rollout"),
    ),
    Case(
        "not running", "pause_rollout", "alice", "draft", RolloutNotRunning.code, "draft", 0,
        text=RolloutNotRunning.default_message,
    ),
    Case("no right", "pause_rollout", "bob", "running", "permission_denied", "running", 0),
    Case("not theirs", "pause_rollout", "charlie", "running", "not_found", "running", 0),
    Case("approves", "approve_rollout", "alice", "pending", DONE, "scheduled", 1),
    Case(
        "approved already", "approve_rollout", "alice", "pending", DONE, "scheduled", 0,
        before=("alice", "approve_rollout"),
    ),
    Case(
        "its own maker", "approve_rollout", "dora", "pending", ApprovalNeedsAnotherPerson.code,
        "pending_approval", 0, text=ApprovalNeedsAnotherPerson.default_message,
    ),
    Case(
        "another plan", "approve_rollout", "alice", "pending", PlanChanged.code,
        "pending_approval", 0, plan_hash="0" * 64, text=PlanChanged.default_message,
    ),
    Case(
        "not submitted", "approve_rollout", "alice", "draft", NotPending.code, "draft", 0,
        text=NotPending.default_message,
    ),
    Case(
        "may not approve", "approve_rollout", "bob", "pending", "permission_denied",
        "pending_approval", 0,
    ),
    Case(
        "no plan of theirs", "approve_rollout", "charlie", "pending", "not_found",
        "pending_approval", 0,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "door",
    [pytest.param(name, marks=pytest.mark.django_db(transaction=name == "rpc")) for name in DOORS],
)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_door_leads_to_the_same_operation(scene: Scene, case: Case, door: str) -> None:
    rollout: Rollout = getattr(scene, case.rollout)
    if case.before is not None:
        scene.do(*case.before, rollout)
    count = audited(scene, case.operation)
    values = {}
    if case.operation == "approve_rollout":
        values = {"plan_hash": case.plan_hash or rollout.plan_hash}
    attempt = Attempt(case.operation, str(rollout.id), values, scene.members[case.member])
    outcome = DOORS[door](attempt)
    if door in FOR_PEOPLE:
        assert outcome.code == (DONE if case.code == DONE else "refused"), outcome
        assert case.text in outcome.text
    else:
        assert outcome.code == case.code
    assert state_of(rollout) == case.state
    assert audited(scene, case.operation) == count + case.audits

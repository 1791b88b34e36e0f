"""Creating, starting and approving a rollout are three rights, through every door."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from apps.core.actors import Actor
from apps.core.errors import FleetdError, PermissionDenied
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.updates.models import Release, Rollout
from apps.updates.services.planning import approve_rollout, create_rollout, submit_rollout
from apps.updates.services.rollouts import start_rollout
from apps.updates.types import Target
from fleetd.pb.public.v1 import fleet_pb2 as pb
from tests import factories
from tests.factories import Cast
from tests.rpc.conftest import open_doors
from tests.teams.support import now, person
from tests.updates.conftest import make_release, make_rollout

ACTS = ("create", "start", "approve")
SEES = (
    "devices.view_devices",
    "updates.view_rollouts",
    "updates.view_releases",
    "web.open_admin",
)


@dataclass
class Plans:
    """What the three people try their hands at."""

    release: Release
    draft: Rollout
    waiting: Rollout
    people: dict[str, Membership]

    def rpc(self, act: str) -> tuple[str, Any, Any]:
        """The call of an act, and its answer's type."""
        if act == "create":
            request = pb.CreateRolloutRequest(name="n", release_id=str(self.release.id))
            return "CreateRollout", request, pb.CreateRolloutResponse
        if act == "start":
            return (
                "StartRollout",
                pb.StartRolloutRequest(id=str(self.draft.id)),
                pb.StartRolloutResponse,
            )
        request = pb.ApproveRolloutRequest(
            id=str(self.waiting.id), plan_hash=self.waiting.plan_hash
        )
        return "ApproveRollout", request, pb.ApproveRolloutResponse


def furnish(acme: Cast, alice: Actor) -> Plans:
    with tenant(acme.id):
        release = make_release(alice)
        draft = make_rollout(alice, release)
        waiting = make_rollout(alice, release, name="second", requires_approval=True)
        waiting = submit_rollout(alice, waiting.id)
        people = {}
        for act in ACTS:
            member = person(acme.id, f"{act}@acme.test")
            role = factories.custom_role(acme.id, act, *SEES, f"updates.{act}_rollout")
            member.role, member.custom_role = "custom", role
            member.save(update_fields=["role", "custom_role"])
            people[act] = member
    return Plans(release, draft, waiting, people)


@pytest.fixture
def plans(acme: Cast, alice: Actor) -> Plans:
    return furnish(acme, alice)


def only(done: dict[tuple[str, str], bool]) -> None:
    """Each could do what their right is about, and nothing else."""
    assert done == {(who, act): who == act for who in ACTS for act in ACTS}


def tried(attempt: Callable[[str, str], bool]) -> dict[tuple[str, str], bool]:
    """Who did what; what is allowed comes last, so that it spoils no other attempt."""
    pairs = sorted(((w, a) for w in ACTS for a in ACTS), key=lambda pair: pair[0] == pair[1])
    return {(who, act): attempt(who, act) for who, act in pairs}


def test_through_services(acme: Cast, plans: Plans) -> None:
    def attempt(who: str, act: str) -> bool:
        with tenant(acme.id):
            actor = now(plans.people[who])
            work: dict[str, Callable[[], object]] = {
                "create": lambda: create_rollout(
                    actor, name="n", release_id=plans.release.id, target=Target()
                ),
                "start": lambda: start_rollout(actor, plans.draft.id),
                "approve": lambda: approve_rollout(
                    actor, plans.waiting.id, plan_hash=plans.waiting.plan_hash
                ),
            }
            try:
                work[act]()
            except PermissionDenied:
                return False
            except FleetdError as error:
                raise AssertionError(error.code) from error
            return True

    only(tried(attempt))


def test_through_rest(plans: Plans) -> None:
    def attempt(who: str, act: str) -> bool:
        secret = factories.api_key(plans.people[who])
        sent: dict[str, tuple[str, dict[str, Any]]] = {
            "create": ("", {"name": "n", "release_id": str(plans.release.id), "target": {}}),
            "start": (f"/{plans.draft.id}:start", {}),
            "approve": (f"/{plans.waiting.id}:approve", {"plan_hash": plans.waiting.plan_hash}),
        }
        path, body = sent[act]
        answer = Client().post(
            f"/api/v1/rollouts{path}",
            json.dumps(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {secret}"},
        )
        assert answer.status_code in (200, 201, 403), answer.content
        return answer.status_code != 403

    only(tried(attempt))


def browser_of(member: Membership) -> Client:
    browser = Client()
    browser.force_login(member.user)
    return browser


def test_through_the_web_ui(plans: Plans) -> None:
    def attempt(who: str, act: str) -> bool:
        browser = browser_of(plans.people[who])
        sent: dict[str, tuple[str, dict[str, Any]]] = {
            "create": (
                "/new",
                {
                    "name": "n",
                    "release": str(plans.release.id),
                    "aim": "all",
                    "strategy": "at_once",
                },
            ),
            "start": (f"/{plans.draft.id}/start", {}),
            "approve": (f"/{plans.waiting.id}/approve", {"plan_hash": plans.waiting.plan_hash}),
        }
        path, body = sent[act]
        answer = browser.post(f"/rollouts{path}", body)
        assert answer.status_code in (200, 302, 403)
        return answer.status_code != 403

    only(tried(attempt))


def test_through_the_admin(plans: Plans) -> None:
    def attempt(who: str, act: str) -> bool:
        browser = browser_of(plans.people[who])
        if act == "create":
            return browser.get("/admin/updates/rollout/add/").status_code == 200
        rollout = plans.draft if act == "start" else plans.waiting
        body = {"action": f"{act}_rollout", "_selected_action": str(rollout.id)}
        answer = browser.post("/admin/updates/rollout/", body)
        assert answer.status_code in (200, 302, 403)
        return answer.status_code != 403

    only(tried(attempt))


async def test_through_rpc(transactional_db: None, tmp_path: Any, settings: Any) -> None:
    settings.STORAGE_URL = f"file://{tmp_path}"

    def prepared() -> tuple[Plans, dict[str, str]]:
        acme = factories.cast("Acme")
        owner = factories.membership(acme.id, factories.user("alice@acme.test"), "owner")  # type: ignore[arg-type]
        plans = furnish(acme, factories.actor(owner))
        return plans, {who: factories.api_key(m) for who, m in plans.people.items()}

    plans, keys = await sync_to_async(prepared)()
    done: dict[tuple[str, str], bool] = {}
    async with open_doors() as doors:
        pairs = sorted(((w, a) for w in ACTS for a in ACTS), key=lambda pair: pair[0] == pair[1])
        for who, act in pairs:
            method, request, response = plans.rpc(act)
            protocol = "grpc" if who == "start" else "connect-json"
            headers = {"authorization": f"Bearer {keys[who]}"}
            got = await doors.call(
                protocol, f"public.v1.FleetService/{method}", request, response, headers
            )
            assert got.status in ("OK", "PERMISSION_DENIED"), (who, act, got)
            done[who, act] = got.status == "OK"
    only(done)

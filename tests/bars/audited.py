"""How to make each public operation that changes something succeed once.

A recipe prepares what the operation needs and answers the ids of its address and its body. An
operation without a recipe fails bar S66, and so does one that no entry tells of.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.apps import apps
from django.test import Client

from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Source, system_actor
from apps.core.authz import Role
from apps.core.tenancy import tenant
from apps.devices.domain.states import Lifecycle
from apps.devices.models import Device
from apps.enrollment.models import Certificate
from apps.organizations.models import Membership
from apps.updates.models import ArtifactUpload
from apps.updates.services.offers import apply_reports, claim_deployments
from apps.updates.services.scheduling import advance_rollout
from apps.updates.types import Report
from fleetctl.sign.keys import make_key
from fleetctl.sign.metadata import Signers, make_root, make_targets, sign, text_of
from tests import factories
from tests.factories import Cast
from tests.isolation.world import Route
from tests.rest.conftest import Api
from tests.signing import public

SCRIPT = b"#!/bin/sh\necho hello\n"
MANIFEST = """
apiVersion: fleet/v1
kind: Deployment
metadata: {{name: r}}
spec:
  selector: {{all: true}}
  template: {{spec: {{release: {{name: app, version: {version}}}}}}}
"""


@dataclass
class Stage:
    """Acme as alice sees it, with whatever recipes need made through the API itself."""

    acme: Cast
    alice: Membership
    bob: Membership
    api: Api
    routes: dict[str, Route]
    made: dict[str, Any] = field(default_factory=dict)

    def call(self, name: str, ids: dict[str, str] | None = None, /, **body: Any) -> Any:
        """Does one operation over REST; the answer must be a success."""
        route = self.routes[name]
        answer = self.send(route, ids or {}, body)
        assert answer.status_code < 300, (name, answer.status_code, answer.content)
        return answer.json() if answer.content else {}

    def send(self, route: Route, ids: dict[str, str], body: Any) -> Any:
        """Sends one request."""
        path = route.at(**ids)
        if isinstance(body, bytes):
            return self.api.client.post(
                f"/api/v1/{path}?name=app.sh", body, "application/octet-stream",
                headers=self.api.headers,
            )  # fmt: skip
        if route.method == "DELETE":
            return self.api.delete(path)
        return self.api.send(route.method, path, body)

    def device(self, lifecycle: Lifecycle = Lifecycle.ACTIVE) -> str:
        """A device."""
        return str(factories.device(self.acme.id, lifecycle=lifecycle).id)

    def release(self) -> str:
        """A release of one script."""
        number = len(self.made)
        body = SCRIPT + str(number).encode()
        artifact = self.send(self.routes["upload_artifact"], {}, body).json()
        part = {"name": "app", "kind": "script", "artifact_id": artifact["id"]}
        version = f"1.{number}.0"
        made = self.call("create_release", name="app", version=version, components=[part])
        self.made[version] = made
        return str(made["id"])

    def rollout(self, *steps: str, approval: bool = False) -> dict[str, Any]:
        """A rollout after these steps."""
        rollout = self.call(
            "create_rollout", name="r", release_id=self.release(), target={},
            requires_approval=approval,
        )  # fmt: skip
        for step in steps:
            rollout = self.call(step, {"id": rollout["id"]})
        return dict(rollout)

    def person(self, role: Role = Role.VIEWER) -> Membership:
        """Somebody else in acme."""
        return factories.membership(self.acme.id, factories.user(), role)

    def team(self) -> str:
        """A team."""
        return str(self.call("create_team", name=f"team {len(self.made)}")["id"])

    def membered(self) -> tuple[str, str]:
        """A team and a person in it."""
        team, person = self.team(), self.person()
        self.call(
            "add_team_members", {"team_id": team}, user_ids=[str(person.user_id)], role="viewer"
        )
        return team, str(person.user_id)

    def account(self) -> str:
        """A service account."""
        return str(self.call("create_service_account", name="ci", role="viewer")["id"])

    def invitation(self, email: str = "new@acme.test") -> dict[str, Any]:
        """An invitation."""
        return dict(self.call("create_invitation", email=email, role="viewer"))


Recipe = Callable[[Stage], tuple[dict[str, str], Any]]


def _of(**body: Any) -> Recipe:
    return lambda _: ({}, body)


def _device(lifecycle: Lifecycle = Lifecycle.ACTIVE, **body: Any) -> Recipe:
    return lambda s: ({"id": s.device(lifecycle)}, body)


def _pinned(s: Stage) -> tuple[dict[str, str], Any]:
    ids = {"id": s.device(Lifecycle.ACTIVE)}
    s.call("pin_device", ids, reason="as it is")
    return ids, {}


def _rollout(*steps: str, approval: bool = False, **body: Any) -> Recipe:
    return lambda s: ({"id": s.rollout(*steps, approval=approval)["id"]}, body)


def _planned(s: Stage) -> tuple[dict[str, str], Any]:
    body = {"name": "other", "release_id": s.release(), "target": {}, "plan": {"priority": 5}}
    return {"id": s.rollout()["id"]}, body


def _excludable(s: Stage) -> tuple[dict[str, str], Any]:
    """A running rollout of which one device is odd."""
    rollout = s.rollout("start_rollout")
    with tenant(s.acme.id):
        Device.objects.for_org(s.acme.id).filter(id=s.acme.devices[0].id).update(tags=["odd"])
    return {"id": rollout["id"]}, {"attribute": "tag", "value": "odd", "reason": "it smells"}


def _manifest(s: Stage) -> str:
    s.release()
    return MANIFEST.format(version=list(s.made)[-1])


def _open_rollout(s: Stage) -> tuple[dict[str, str], Any]:
    """A dynamic rollout that is running."""
    rollout = s.call(
        "create_rollout", name="r", release_id=s.release(), target={}, plan={"is_dynamic": True}
    )
    s.call("start_rollout", {"id": rollout["id"]})
    return {"id": rollout["id"]}, {}


def _worked(s: Stage, step: str) -> str:
    """A rollout in which every device has ended so."""
    rollout = s.rollout("start_rollout")
    with tenant(s.acme.id):
        system = system_actor(s.acme.id, source=Source.AGENT)
        offers = claim_deployments(system, [d.id for d in s.acme.devices])
        reports = [Report(o.device_id, o.deployment_id, 1, step) for o in offers]
        apply_reports(system, reports)
        advance_rollout(system, UUID(rollout["id"]))
    return str(rollout["id"])


def _failed(s: Stage) -> tuple[dict[str, str], Any]:
    return {"id": _worked(s, "failed")}, {}


def _reversible(s: Stage) -> tuple[dict[str, str], Any]:
    _worked(s, "succeeded")
    return {"id": _worked(s, "succeeded")}, {}


def _own(**body: Any) -> Recipe:
    return lambda s: ({"id": str(s.acme.id)}, body)


def _member(**body: Any) -> Recipe:
    return lambda s: ({"id": str(s.person().id)}, body)


def _members(**body: Any) -> Recipe:
    return lambda s: ({}, {"ids": [str(s.person().id)], **body})


def _group(s: Stage, *devices: Any) -> str:
    return str(factories.group(s.acme.id, "", *devices).id)


def _filled_group(s: Stage) -> tuple[dict[str, str], Any]:
    return {"id": _group(s, s.acme.devices[1])}, {"device_ids": [str(s.acme.devices[1].id)]}


def _upload(s: Stage, content: bytes) -> str:
    """An upload in parts of which so much has arrived."""
    made = s.call("create_artifact_upload", name="a.sh", size_bytes=len(SCRIPT))
    if content:
        answer = s.api.client.patch(
            f"/api/v1/artifact-uploads/{made['id']}", content, "application/octet-stream",
            headers={**s.api.headers, "Upload-Offset": "0"},
        )  # fmt: skip
        assert answer.status_code == 204, answer.content
    return str(made["id"])


def _sbom(s: Stage) -> str:
    """A stored bill of materials."""
    document = b'{"bomFormat": "CycloneDX", "components": [{"name": "openssl"}]}'
    return str(s.send(s.routes["upload_artifact"], {}, document).json()["id"])


def _channel(s: Stage) -> tuple[dict[str, str], Any]:
    """A channel that points at a release."""
    made = s.call("promote_release", {"id": s.release()}, channel="beta")
    return {"id": made["id"]}, {"reason": "Nobody follows it."}


def _clean_up(s: Stage) -> tuple[dict[str, str], Any]:
    """An upload whose time has passed is there to be removed."""
    upload = _upload(s, b"")
    with tenant(s.acme.id):
        rows = ArtifactUpload.objects.for_org(s.acme.id).filter(id=upload)
        rows.update(expires_at=clock.now() - timedelta(days=1))
    return {}, {}


def _new_release(s: Stage) -> tuple[dict[str, str], Any]:
    artifact = s.send(s.routes["upload_artifact"], {}, SCRIPT).json()
    part = {"name": "app", "kind": "script", "artifact_id": artifact["id"]}
    return {}, {"name": "app", "version": "9.0.0", "components": [part]}


def _ceremony(s: Stage) -> tuple[dict[str, str], Any]:
    """Root and targets as `fleetctl sign init` makes them."""
    status = s.call("prepare_signing")
    root_key, targets_key = make_key(), make_key()
    signers = {"root": Signers([public(root_key)]), "targets": Signers([public(targets_key)])}
    root, targets = make_root(status, signers), make_targets()
    sign(root, [root_key])
    sign(targets, [targets_key])
    return {}, {"roots": [text_of(root)], "targets": text_of(targets)}


def _published(s: Stage) -> tuple[dict[str, str], Any]:
    s.call("publish_signing_metadata", **_ceremony(s)[1])
    return {}, {}


def _rejection(s: Stage) -> tuple[dict[str, str], Any]:
    ids, _plan = _approval(s)
    return ids, {"reason": "too early"}


def _approval(s: Stage) -> tuple[dict[str, str], Any]:
    """Somebody else has made the plan."""
    mine, own = s.api, s.rollout(approval=True)
    with tenant(s.acme.id):
        from apps.updates.models import Rollout

        Rollout.objects.for_org(s.acme.id).filter(id=own["id"]).update(created_by=s.bob.user_id)
    submitted = s.call("submit_rollout", {"id": own["id"]})
    s.api = mine
    return {"id": own["id"]}, {"plan_hash": submitted["plan_hash"]}


def _owned_group(s: Stage) -> str:
    group = _group(s)
    s.call("give_group_to_team", {"id": group}, team_id=s.team())
    return group


def _given(s: Stage) -> dict[str, Any]:
    body = {
        "user_id": str(s.person(Role.MEMBER).user_id),
        "device_group_id": _group(s),
        "permissions": ["devices.view_devices"],
    }
    s.call("grant_access", **body)
    return body


def _role(s: Stage) -> str:
    made = s.call("create_custom_role", name="own", permissions=["devices.view_devices"])
    return str(made["id"])


def _disabled(s: Stage) -> str:
    account = s.account()
    s.call("disable_service_account", {"id": account})
    return account


RECIPES: dict[str, Recipe] = {
    "create_api_key": _of(name="k"),
    "rotate_api_key": lambda s: ({"id": s.call("create_api_key", name="k")["id"]}, {}),
    "revoke_api_key": lambda s: ({"id": s.call("create_api_key", name="k")["id"]}, {}),
    "create_service_account": _of(name="ci", role="viewer"),
    "delete_service_account": lambda s: ({"id": s.account()}, {}),
    "disable_service_account": lambda s: ({"id": s.account()}, {}),
    "enable_service_account": lambda s: ({"id": _disabled(s)}, {}),
    "create_service_account_key": lambda s: ({"id": s.account()}, {"name": "k"}),
    "update_organization": _own(name="New name"),
    "update_organization_settings": _own(security={"session_hours": 12}),
    "export_organization": _own(),
    "change_member_role": _member(role="operator"),
    "change_member_roles": _members(role="operator"),
    "remove_member": _member(),
    "remove_members": _members(),
    "create_invitation": _of(email="new@acme.test", role="viewer"),
    "resend_invitation": lambda s: ({"id": s.invitation()["id"]}, {}),
    "revoke_invitation": lambda s: ({"id": s.invitation()["id"]}, {}),
    "create_team": _of(name="a team"),
    "update_team": lambda s: ({"id": s.team()}, {"name": "other"}),
    "delete_team": lambda s: ({"id": s.team()}, {}),
    "add_team_members": lambda s: (
        {"team_id": s.team()}, {"user_ids": [str(s.person().user_id)], "role": "viewer"},
    ),
    "change_team_role": lambda s: (
        dict(zip(("team_id", "user_id"), s.membered(), strict=True)), {"role": "operator"},
    ),
    "remove_team_member": lambda s: (
        dict(zip(("team_id", "user_id"), s.membered(), strict=True)), {},
    ),
    "create_custom_role": _of(name="own", permissions=["devices.view_devices"]),
    "update_custom_role": lambda s: ({"id": _role(s)}, {"name": "other"}),
    "delete_custom_role": lambda s: ({"id": _role(s)}, {}),
    "update_device": _device(name="renamed"),
    "approve_device": _device(Lifecycle.PENDING),
    "quarantine_device": _device(reason="odd"),
    "pin_device": _device(reason="as it is"),
    "unpin_device": _pinned,
    "release_device": _device(Lifecycle.QUARANTINED),
    "decommission_device": _device(reason="broken"),
    "create_device_group": _of(name="a group"),
    "update_device_group": lambda s: ({"id": _group(s)}, {"name": "other"}),
    "delete_device_group": lambda s: ({"id": _group(s)}, {}),
    "add_devices_to_group": lambda s: ({"id": _group(s)}, {"device_ids": [s.device()]}),
    "remove_devices_from_group": _filled_group,
    "give_group_to_team": lambda s: ({"id": _group(s)}, {"team_id": s.team()}),
    "take_group_from_team": lambda s: ({"id": _owned_group(s)}, {}),
    "grant_access": lambda s: (
        {},
        {
            "user_id": str(s.person(Role.MEMBER).user_id),
            "device_group_id": _group(s),
            "permissions": ["devices.view_devices"],
        },
    ),
    "revoke_access": lambda s: ({}, _given(s)),
    "create_enrollment_token": _of(name="lab"),
    "revoke_enrollment_token": lambda s: (
        {"id": s.call("create_enrollment_token", name="lab")["id"]}, {},
    ),
    "upload_artifact": lambda _: ({}, SCRIPT),
    "create_artifact_upload": _of(name="a.bin", size_bytes=len(SCRIPT)),
    "complete_artifact_upload": lambda s: ({"id": _upload(s, SCRIPT)}, {}),
    "cancel_artifact_upload": lambda s: ({"id": _upload(s, b"")}, {}),
    "attach_release_sbom": lambda s: ({"id": s.release()}, {"artifact_id": _sbom(s)}),
    "create_release": _new_release,
    "recall_release": lambda s: ({"id": s.release()}, {"reason": "It fills the disk."}),
    "deprecate_release": lambda s: ({"id": s.release()}, {"reason": "2.0 is better."}),
    "delete_artifact": lambda s: ({"id": _sbom(s)}, {}),
    "delete_release": lambda s: ({"id": s.release()}, {}),
    "clean_up_storage": _clean_up,
    "promote_release": lambda s: ({"id": s.release()}, {"channel": "stable"}),
    "close_release_channel": _channel,
    "prepare_signing": _of(),
    "renew_signing_keys": _published,
    "publish_signing_metadata": _ceremony,
    "create_rollout": lambda s: ({}, {"name": "r", "release_id": s.release(), "target": {}}),
    "create_rollout_from_manifest": lambda s: ({}, {"manifest": _manifest(s)}),
    "update_rollout": _planned,
    "clone_rollout": _rollout(),
    "retry_rollout": _failed,
    "submit_rollout": _rollout(approval=True),
    "reject_rollout": _rejection,
    "advance_phase": _rollout("start_rollout", index=0, reason="looked at it"),
    "exclude_and_continue": _excludable,
    "halt_rollout": _rollout("start_rollout", reason="it smells"),
    "roll_back_rollout": _reversible,
    "approve_rollout": _approval,
    "start_rollout": _rollout(),
    "pause_rollout": _rollout("start_rollout"),
    "resume_rollout": _rollout("start_rollout", "pause_rollout"),
    "cancel_rollout": _rollout("start_rollout"),
    "close_rollout": _open_rollout,
}  # fmt: skip

# Operations that are recorded elsewhere, or change nothing of the organization's, and why.
ELSEWHERE: dict[str, str] = {
    "login": "a sign-in: recorded in every organization of the person (S66, sign-ins below)",
    "refresh": "the caller's own token takes the place of the one before; reuse is recorded",
    "logout": "ends the caller's own tokens; a key has none",
    "logout_everywhere": "ends the caller's own sign-ins in all organizations",
    "revoke_session": "ends one of the caller's own sign-ins",
    "create_organization": "recorded in the new organization's own chain",
    "suspend_organization": "the platform's operator only",
    "resume_organization": "the platform's operator only",
    "delete_organization": "by a person's own session, after it was confirmed",
    "cancel_organization_deletion": "while the organization stands still, by session only",
    "leave_organization": "by the person's own session",
    "append_to_upload": "a part of a file; its beginning and its end are recorded",
    "preview_rollout": "changes nothing; a target does not fit into an address",
    "list_left_out_devices": "changes nothing; a target does not fit into an address",
    "accept_invitation": "recorded in the organization that is joined",
}


def entries(organization_id: UUID, after: int = 0) -> list[AuditEntry]:
    """The entries after a number, oldest first."""
    with tenant(organization_id):
        rows = AuditEntry.objects.for_org(organization_id).filter(sequence__gt=after)
        return list(rows.order_by("sequence"))


def last_sequence(organization_id: UUID) -> int:
    """The number of the newest entry."""
    found = entries(organization_id)
    return found[-1].sequence if found else 0


def browser(member: Membership) -> Client:
    """A browser in which a member is signed in."""
    client = Client()
    client.force_login(member.user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def just_now(entry: AuditEntry) -> bool:
    """Whether an entry was made in this test."""
    return abs(clock.now() - entry.time) < timedelta(minutes=5)


# --- The admin ---


LIFECYCLES = {"approve_device": Lifecycle.PENDING, "release_device": Lifecycle.QUARANTINED}


def _admin_rollout(stage: Stage, operation: str) -> str:
    """As REST is tried with it."""
    return RECIPES[operation](stage)[0]["id"]


def _admin_group_member(stage: Stage, _: str) -> str:
    _group(stage, stage.acme.devices[1])
    return _newest(stage, "devices.GroupMember")


def _admin_team_member(stage: Stage, _: str) -> str:
    stage.membered()
    return _newest(stage, "teams.TeamMember")


def _grant(model: str, **on: Callable[[Stage], str]) -> Callable[[Stage, str], str]:
    def made(stage: Stage, _: str) -> str:
        person = str(stage.person(Role.MEMBER).user_id)
        where = {name: find(stage) for name, find in on.items()}
        stage.call("grant_access", user_id=person, permissions=["devices.view_devices"], **where)
        return _newest(stage, model)

    return made


ADMIN_OBJECTS: dict[str, Callable[[Stage, str], str]] = {
    "ApiKey": lambda s, _: str(s.call("create_api_key", name="k")["id"]),
    "Certificate": lambda s, _: _certificate(s),
    "Device": lambda s, name: s.device(LIFECYCLES.get(name, Lifecycle.ACTIVE)),
    "DeviceGroupGrant": _grant("devices.DeviceGroupGrant", device_group_id=_group),
    "EnrollmentToken": lambda s, _: str(s.call("create_enrollment_token", name="lab")["id"]),
    "GroupMember": _admin_group_member,
    "Invitation": lambda s, _: str(s.invitation()["id"]),
    "Membership": lambda s, _: str(s.person().id),
    "Organization": lambda s, _: str(s.acme.id),
    "OrganizationGrant": _grant("teams.OrganizationGrant"),
    "Release": lambda s, _: s.release(),
    "ReleasePromotion": lambda s, _: _channel(s)[0]["id"],
    "Rollout": _admin_rollout,
    "TeamGrant": _grant("teams.TeamGrant", team_id=Stage.team),
    "TeamMember": _admin_team_member,
    "User": lambda s, name: _somebody(s, is_active=name != "enable_user"),
}


def admin_object(stage: Stage, model: str, operation: str) -> str:
    """The key of an object that an operation of the admin applies to."""
    return ADMIN_OBJECTS[model](stage, operation)


def _newest(stage: Stage, model: str) -> str:
    with tenant(stage.acme.id):
        return str(apps.get_model(model)._base_manager.latest("pk").pk)


def _somebody(stage: Stage, *, is_active: bool) -> str:
    """A person for a superuser to help, which alice is made here."""
    stage.alice.user.is_superuser = True
    stage.alice.user.save(update_fields=["is_superuser"])
    person = stage.person().user
    person.is_active = is_active
    person.save(update_fields=["is_active"])
    return str(person.pk)


def _certificate(stage: Stage) -> str:
    row = Certificate(
        organization_id=stage.acme.id, device=stage.acme.device, serial="66", public_key_hash="66",
        chain_pem="", not_before=clock.now(), not_after=clock.now() + timedelta(days=1),
    )  # fmt: skip
    with tenant(stage.acme.id):
        row.save(force_insert=True)
    return str(row.pk)


def admin_values(stage: Stage, operation: Any, key: str) -> dict[str, str]:
    """What the pages that ask first want to have."""
    from apps.updates.models import Rollout

    with tenant(stage.acme.id):
        rollout = Rollout.objects.for_org(stage.acme.id).filter(id=key).first()
        seen = operation.seen(rollout) if rollout and operation.seen else ""
    return {
        "confirmed": "1",
        "reason": "because",
        "word": operation.word,
        "add_tags": "lab",
        "group": str(stage.acme.group.pk),
        "role": "operator",
        "channel": "stable",
        "name": stage.acme.organization.name,
        f"seen-{key}": seen,
    }


# Actions of the admin that a member of the organization cannot do, whatever the role.
OPERATORS_ONLY = {"suspend_organization", "resume_organization", "disable_user", "enable_user"}

# Tasks that write nothing of their own into the trail, and why; every other one must be tried.
TASKS: dict[str, str] = {
    "accounts.keep_up": "rotates signing keys and removes what has ended, for the installation",
    "audit.announce_entries": "sends hints",
    "audit.create_checkpoints": "signs the trail: an entry for it would never end",
    "audit.copy_checkpoints": "copies what is signed",
    "audit.verify_chain": "reads; that somebody asked for it is recorded when they ask",
    "events.relay_outbox": "hands on events that were recorded with their cause",
    "events.purge_outbox": "removes what was handed on",
    "updates.sweep_rollouts": "wakes others",
    "updates.sample_rollouts": "looks as others do, and decides what they would",
    "updates.start_due_rollout": "start_rollout, which records it, at the planned time",
    "updates.sweep_joining": "wakes others",
    "updates.send_rollout_notifications": "sends what was stored with the decision it is about",
    "updates.refresh_signing": "signs again what was published, before it expires",
    "updates.clean_up_storage": "clean_up_storage, which records it, every hour",
    "updates.sweep_superseded": "wakes supersede_devices, which records what it does",
    "updates.remove_abandoned_uploads": "removes parts of files that nothing refers to",
    "devices.remove_old_presence": "forgets when devices were online a month ago",
    "devices.sweep_offline": "notes what is so already: a device that fell silent",
    "organizations.continue_export": "writes what somebody has asked for, on record",
    "organizations.remove_old_exports": "removes archives after their week",
    "organizations.purge_organization": "erases the trail itself with its organization",
}
TASKS_TRIED = {
    "updates.advance_rollout",
    "updates.expire_deployments",
    "updates.join_rollout",
    "updates.supersede_devices",
}

"""Writing in the admin: through services, audited as the admin's, refusals where they belong."""

from collections.abc import Callable
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from apps.accounts.models import ApiKey
from apps.audit.models import AuditEntry
from apps.core.actors import Actor
from apps.core.tenancy import tenant
from apps.devices.domain.states import Lifecycle
from apps.devices.models import Device, DeviceGroup, GroupMember
from apps.enrollment.models import EnrollmentToken
from apps.organizations.models import Membership
from apps.updates.models import Artifact, Release, Rollout
from apps.updates.services.artifacts import store_artifact
from tests import factories
from tests.factories import Cast

pytestmark = pytest.mark.django_db

DEVICES = "/admin/devices/device/"


@pytest.fixture
def entries(acme: Cast) -> Callable[[], list[tuple[str, str]]]:
    """Actions of acme's audit trail with the door that they came through."""

    def read() -> list[tuple[str, str]]:
        with tenant(acme.id):
            rows = AuditEntry.objects.for_org(acme.id).order_by("sequence")
            return list(rows.values_list("action", "source"))

    return read


def _act(browser: Client, address: str, action: str, *keys: Any, **values: str) -> Any:
    chosen = [str(key) for key in keys]
    return browser.post(address, {"action": action, "_selected_action": chosen, **values})


def _fresh(model: Any, organization_id: UUID, **values: Any) -> Any:
    with tenant(organization_id):
        return model.objects.for_org(organization_id).get(**values)


def _device(acme: Cast) -> Device:
    return _fresh(Device, acme.id, id=acme.device.id)


def test_approving_is_done_at_once_and_audited(
    browser: Client, acme: Cast, entries: Callable[[], Any]
) -> None:
    waiting = factories.device(acme.id, "newcomer", lifecycle=Lifecycle.PENDING)
    response = _act(browser, DEVICES, "approve_device", waiting.id)
    assert response.status_code == 302
    assert _fresh(Device, acme.id, id=waiting.id).lifecycle == "active"
    assert entries() == [("devices.approve_device", "admin")]


def test_quarantining_asks_first(browser: Client, acme: Cast, entries: Callable[[], Any]) -> None:
    page = _act(browser, DEVICES, "quarantine_device", acme.device.id)
    assert page.status_code == 200
    assert "get no work" in page.content.decode()
    assert _device(acme).lifecycle == "active"
    assert entries() == []


def test_quarantine_and_release_are_audited_with_their_reason(
    browser: Client, acme: Cast, entries: Callable[[], Any]
) -> None:
    _act(browser, DEVICES, "quarantine_device", acme.device.id, confirmed="1", reason="odd noise")
    device = _device(acme)
    assert (device.lifecycle, device.lifecycle_reason) == ("quarantined", "odd noise")
    _act(browser, DEVICES, "release_device", acme.device.id)
    assert _device(acme).lifecycle == "active"
    assert entries() == [
        ("devices.quarantine_device", "admin"),
        ("devices.release_device", "admin"),
    ]


def test_decommissioning_needs_its_word(browser: Client, acme: Cast) -> None:
    values = {"confirmed": "1", "reason": "broken", "word": "yes"}
    page = _act(browser, DEVICES, "decommission_device", acme.device.id, **values)
    assert "word" in page.context["form"].errors
    assert _device(acme).lifecycle == "active"
    values["word"] = "decommission"
    _act(browser, DEVICES, "decommission_device", acme.device.id, **values)
    assert _device(acme).lifecycle == "decommissioned"


def test_one_refusal_does_not_undo_the_others(
    browser: Client, acme: Cast, entries: Callable[[], Any]
) -> None:
    waiting = factories.device(acme.id, "newcomer", lifecycle=Lifecycle.PENDING)
    gone = factories.device(acme.id, "gone", lifecycle=Lifecycle.DECOMMISSIONED)
    keys = [waiting.id, gone.id]
    page = browser.post(
        DEVICES, {"action": "approve_device", "_selected_action": keys}, follow=True
    )
    texts = [str(message) for message in page.context["messages"]]
    assert texts == ["Approve: 1 done.", "gone: The device is not waiting for approval."]
    assert _fresh(Device, acme.id, id=waiting.id).lifecycle == "active"
    assert entries() == [("devices.approve_device", "admin")]


def test_too_many_at_once_are_refused(
    browser: Client, acme: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.core.org_admin.operations.MAX_OBJECTS", 1)
    values = {"action": "quarantine_device", "confirmed": "1", "select_across": "1", "index": "0"}
    values["_selected_action"] = str(acme.device.id)
    page = browser.post(DEVICES, values, follow=True)
    assert "At most 1 at once" in page.content.decode()
    assert _device(acme).lifecycle == "active"


def test_a_button_leads_back_to_its_page_and_nowhere_else(browser: Client, acme: Cast) -> None:
    waiting = factories.device(acme.id, "newcomer", lifecycle=Lifecycle.PENDING)
    page = f"{DEVICES}{waiting.id}/change/"
    assert 'value="approve_device"' in browser.get(page).content.decode()
    response = _act(browser, DEVICES, "approve_device", waiting.id, next=page)
    assert response["Location"] == page
    response = _act(browser, DEVICES, "approve_device", waiting.id, next="https://evil.test/")
    assert response["Location"] == DEVICES


def test_an_action_without_the_right_to_it_is_refused_and_audited(
    sign_in: Callable[[Membership], Client], bob_member: Membership, acme: Cast
) -> None:
    browser = sign_in(bob_member)
    values = {"confirmed": "1", "reason": "because"}
    response = _act(browser, DEVICES, "quarantine_device", acme.device.id, **values)
    assert response.status_code == 403
    assert "devices.quarantine_device" in response.content.decode()
    assert _device(acme).lifecycle == "active"
    entry = _fresh(AuditEntry, acme.id, action="devices.quarantine_device")
    assert (entry.result, entry.source) == ("denied", "admin")


def test_an_action_on_what_is_not_there_says_so(browser: Client, globex: Cast) -> None:
    values = {"action": "approve_device", "_selected_action": str(globex.device.id)}
    page = browser.post(DEVICES, values, follow=True)
    assert [str(message) for message in page.context["messages"]] == [
        "What was chosen is not here."
    ]


def test_renaming_and_tagging_a_device(
    browser: Client, acme: Cast, entries: Callable[[], Any]
) -> None:
    address = f"{DEVICES}{acme.device.id}/change/"
    assert browser.post(address, {"name": "door", "tags": "lab, site=oslo"}).status_code == 302
    assert (_device(acme).name, _device(acme).tags) == ("door", ["lab", "site=oslo"])
    browser.post(address, {"name": "door", "tags": "lab"})
    assert _device(acme).tags == ["lab"]
    assert entries() == [("devices.update_device", "admin")] * 2


def test_what_the_service_refuses_is_shown_in_the_form(
    browser: Client, acme: Cast, entries: Callable[[], Any]
) -> None:
    page = browser.post(f"{DEVICES}{acme.device.id}/change/", {"name": "door", "tags": "Ä!"})
    assert page.status_code == 200
    assert page.context["adminform"].form.errors
    assert 'value="door"' in page.content.decode()
    assert _device(acme).name == acme.device.name
    assert entries() == []


def test_other_fields_of_a_device_cannot_be_posted(browser: Client, acme: Cast) -> None:
    values = {"name": "door", "tags": "", "lifecycle": "decommissioned", "hardware_id": "mine"}
    browser.post(f"{DEVICES}{acme.device.id}/change/", values)
    device = _device(acme)
    assert (device.lifecycle, device.hardware_id) == ("active", acme.device.hardware_id)


def test_groups_are_made_filled_emptied_and_deleted(
    browser: Client, acme: Cast, entries: Callable[[], Any]
) -> None:
    browser.post("/admin/devices/devicegroup/add/", {"name": "lab", "tag": ""})
    group = _fresh(DeviceGroup, acme.id, name="lab")
    _act(browser, DEVICES, "add_devices_to_group", acme.device.id, confirmed="1", group=group.pk)
    member = _fresh(GroupMember, acme.id, group=group)
    assert member.device_id == acme.device.id
    _act(browser, "/admin/devices/groupmember/", "remove_devices_from_group", member.pk)
    page = f"/admin/devices/devicegroup/{group.pk}/delete/"
    assert "no way back" in browser.get(page).content.decode()
    assert browser.post(page, {"post": "yes"}).status_code == 302
    with tenant(acme.id):
        assert not DeviceGroup.objects.for_org(acme.id).filter(name="lab").exists()
    assert entries() == [
        ("devices.create_device_group", "admin"),
        ("devices.add_devices_to_group", "admin"),
        ("devices.remove_devices_from_group", "admin"),
        ("devices.delete_device_group", "admin"),
    ]


def test_a_smart_group_is_made_and_changed(
    browser: Client, acme: Cast, entries: Callable[[], Any]
) -> None:
    page = "/admin/devices/devicegroup/"
    wrong = browser.post(f"{page}add/", {"name": "rest", "tag": "", "filter": "nmae:x"})
    assert "did you mean &quot;name&quot;?" in wrong.content.decode()
    rule = 'NOT group = "acme-group"'
    browser.post(f"{page}add/", {"name": "rest", "tag": "", "filter": rule})
    group = _fresh(DeviceGroup, acme.id, name="rest")
    assert group.filter == f'NOT group = "{acme.group.id}"'
    shown = browser.get(f"{page}{group.pk}/change/").content.decode()
    assert "NOT group = &quot;acme-group&quot;" in shown
    assert rule.replace('"', "&quot;") in browser.get(page).content.decode()
    listed = browser.get(DEVICES, {"group": str(group.pk)}).content.decode()
    assert "acme-two" in listed
    assert "acme-one" not in listed
    browser.post(f"{page}{group.pk}/change/", {"name": "others", "filter": "tags:lab"})
    browser.post(f"{page}{acme.group.pk}/change/", {"name": "first", "filter": ""})
    assert _fresh(DeviceGroup, acme.id, id=group.pk).filter == 'tags:"lab"'
    assert _fresh(DeviceGroup, acme.id, id=acme.group.pk).name == "first"
    assert [action for action, _ in entries()] == [
        "devices.create_device_group",
        "devices.update_device_group",
        "devices.update_device_group",
    ]


def test_a_name_that_is_taken_is_said_in_the_form(browser: Client, acme: Cast) -> None:
    page = browser.post("/admin/devices/devicegroup/add/", {"name": acme.group.name, "tag": ""})
    assert page.status_code == 200
    assert "There is a group with this name already." in page.content.decode()


def test_a_token_is_shown_once(browser: Client, acme: Cast, entries: Callable[[], Any]) -> None:
    values = {"name": "batch", "max_uses": "5", "lifetime_hours": "2", "tags": "lab"}
    page = browser.post(
        "/admin/enrollment/enrollmenttoken/add/", {**values, "groups": [acme.group.pk]}
    )
    secret = page.context["secret"]
    assert secret in page.content.decode()
    token = _fresh(EnrollmentToken, acme.id, name="batch")
    assert (token.max_uses, token.tags, token.group_ids) == (5, ["lab"], [acme.group.pk])
    later = browser.get(f"/admin/enrollment/enrollmenttoken/{token.pk}/change/")
    assert secret not in later.content.decode()
    _act(
        browser, "/admin/enrollment/enrollmenttoken/", "revoke_enrollment_token", token.pk,
        confirmed="1",
    )  # fmt: skip
    assert _fresh(EnrollmentToken, acme.id, name="batch").revoked_at is not None
    assert entries() == [
        ("enrollment.create_enrollment_token", "admin"),
        ("enrollment.revoke_enrollment_token", "admin"),
    ]


def test_a_key_is_shown_once_and_only_to_its_maker(
    browser: Client, acme: Cast, erin_member: Membership, sign_in: Callable[[Membership], Client]
) -> None:
    values = {"name": "ci", "lifetime_days": "7", "scopes": ["devices.view_devices"]}
    page = browser.post("/admin/accounts/apikey/add/", values)
    assert page.context["secret"].startswith("fld_pat_")
    key = _fresh(ApiKey, acme.id, name="ci")
    assert key.scopes == ["devices.view_devices"]
    erin = sign_in(erin_member)
    assert erin.get(f"/admin/accounts/apikey/{key.pk}/change/").status_code == 404
    _act(erin, "/admin/accounts/apikey/", "revoke_api_key", key.pk, confirmed="1")
    assert _fresh(ApiKey, acme.id, name="ci").revoked_at is None
    _act(browser, "/admin/accounts/apikey/", "revoke_api_key", key.pk, confirmed="1")
    assert _fresh(ApiKey, acme.id, name="ci").revoked_at is not None


def test_scopes_beyond_the_own_rights_are_refused(
    sign_in: Callable[[Membership], Client], bob_member: Membership
) -> None:
    values = {"name": "ci", "lifetime_days": "7", "scopes": ["devices.approve_device"]}
    page = sign_in(bob_member).post("/admin/accounts/apikey/add/", values)
    assert "scopes" in page.context["adminform"].form.errors


def test_the_organization_can_be_renamed(
    browser: Client, acme: Cast, entries: Callable[[], Any]
) -> None:
    address = f"/admin/organizations/organization/{acme.id}/change/"
    assert browser.post(address, {"name": "Acme Ltd", "slug": "other"}).status_code == 302
    acme.organization.refresh_from_db()
    assert (acme.organization.name, acme.organization.slug) == ("Acme Ltd", "acme")
    assert entries() == [("organizations.update_organization", "admin")]


def test_superusers_add_members(
    sign_in: Callable[[Membership], Client], acme: Cast, entries: Callable[[], Any]
) -> None:
    root = factories.user("root@acme.test", is_superuser=True)
    browser = sign_in(factories.membership(acme.id, root, factories.Role.OWNER))
    factories.user("dora@acme.test")
    address = "/admin/organizations/membership/add/"
    assert browser.post(address, {"email": "nobody@x.test", "role": "viewer"}).status_code == 200
    assert browser.post(address, {"email": "Dora@acme.test", "role": "viewer"}).status_code == 302
    assert _fresh(Membership, acme.id, user__email="dora@acme.test").role == "viewer"
    assert entries() == [("organizations.add_member", "admin")]


@pytest.fixture
def release(browser: Client, alice: Actor, acme: Cast) -> Release:
    """A release made in the admin, of an artifact that was uploaded before."""
    with tenant(acme.id):
        artifact = store_artifact(
            alice, name="app.sh", content_type="text/x-sh", file=BytesIO(b"#!/bin/sh\n")
        )
    values = {
        "name": "app",
        "version": "1.0",
        "notes": "",
        "components-TOTAL_FORMS": "2",
        "components-INITIAL_FORMS": "0",
        "components-0-name": "app",
        "components-0-kind": "script",
        "components-0-artifact": str(artifact.pk),
        "components-0-file_mode": "0755",
        "components-0-hooks": '{"verify": {"command": ["true"]}}',
        "components-1-hooks": "{}",  # an empty row, as the page has one
        "initial-components-1-hooks": "{}",
    }
    response = browser.post("/admin/updates/release/add/", values)
    assert response.status_code == 302, response.context["inline_admin_formsets"][0].formset.errors
    return _fresh(Release, acme.id, name="app")


def _plan(browser: Client, release: Release, **values: Any) -> Any:
    plan = {
        "name": "to all",
        "release": str(release.pk),
        "phase_percents": "50, 100",
        "deployment_timeout_seconds": "3600",
    }
    return browser.post("/admin/updates/rollout/add/", {**plan, **values})


def test_a_rollout_is_planned_for_a_filter_with_gates_and_latecomers(
    release: Release, acme: Cast, browser: Client
) -> None:
    factories.device(acme.id, "lab-7", tags=["lab"])
    values = {"filter": 'tags:"lab"', "is_dynamic": "on", "by_statistics": "on"}
    response = _plan(browser, release, **values)
    assert response.status_code == 302, response.context["adminform"].errors
    rollout = _fresh(Rollout, acme.id, name="to all")
    assert rollout.target["filter"] == 'tags:"lab"'
    plan = rollout.planned()
    assert plan.is_dynamic
    assert {phase.gate.kind for phase in plan.phases} == {"sequential"}
    wrong = _plan(browser, release, filter="tagz:lab")
    assert "Unknown field" in wrong.content.decode()


def test_a_release_is_made_of_its_components(release: Release, acme: Cast, browser: Client) -> None:
    with tenant(acme.id):
        (component,) = release.components.all()
        assert (component.file_mode, component.kind) == (0o755, "script")
    page = browser.get(f"/admin/updates/release/{release.pk}/change/").content.decode()
    assert "app.sh" in page
    assert "0755" in page


def test_a_release_that_nothing_uses_is_removed(
    release: Release, browser: Client, acme: Cast, entries: Callable[[], Any]
) -> None:
    browser.post(f"/admin/updates/release/{release.pk}/delete/", {"post": "yes"})
    with tenant(acme.id):
        assert not Release.objects.for_org(acme.id).filter(pk=release.pk).exists()
    assert entries()[-1] == ("updates.delete_release", "admin")


def test_an_artifact_in_use_is_not_deleted(release: Release, browser: Client, acme: Cast) -> None:
    artifact = _fresh(Artifact, acme.id, name="app.sh")
    page = browser.post(
        f"/admin/updates/artifact/{artifact.pk}/delete/", {"post": "yes"}, follow=True
    )
    assert page.redirect_chain[0][0] == f"/admin/updates/artifact/{artifact.pk}/change/"
    assert "error" in [m.level_tag for m in page.context["messages"]]
    assert _fresh(Artifact, acme.id, name="app.sh")


def test_a_rollout_is_planned_started_paused_resumed_and_cancelled(
    browser: Client, release: Release, acme: Cast, entries: Callable[[], Any]
) -> None:
    assert _plan(browser, release, all_devices="on").status_code == 302
    rollout = _fresh(Rollout, acme.id, name="to all")
    lists = "/admin/updates/rollout/"
    asked = _act(browser, lists, "start_rollout", rollout.pk)
    assert "begin to update" in asked.content.decode()
    states = []
    for action, values in (
        ("start_rollout", {"confirmed": "1"}),
        ("pause_rollout", {}),
        ("resume_rollout", {}),
        ("cancel_rollout", {"confirmed": "1", "word": "cancel"}),
    ):
        assert _act(browser, lists, action, rollout.pk, **values).status_code == 302
        states.append(_fresh(Rollout, acme.id, name="to all").state)
    assert states == ["running", "paused", "running", "cancelled"]
    assert entries()[-5:] == [
        ("updates.create_rollout", "admin"),
        ("updates.start_rollout", "admin"),
        ("updates.pause_rollout", "admin"),
        ("updates.resume_rollout", "admin"),
        ("updates.cancel_rollout", "admin"),
    ]
    assert not LogEntry.objects.exists()  # knows no organization: the audit trail is the history
    page = browser.get(f"{lists}{rollout.pk}/history/").content.decode()
    assert "Cancelled rollout" in page


def test_a_rollout_is_decided_about_in_the_admin(
    browser: Client, release: Release, acme: Cast
) -> None:
    _plan(browser, release, all_devices="on")
    rollout = _fresh(Rollout, acme.id, name="to all")
    lists = "/admin/updates/rollout/"
    _act(browser, lists, "start_rollout", rollout.pk, confirmed="1")
    reason = {"confirmed": "1", "reason": "because"}
    asked = _act(browser, lists, "advance_phase", rollout.pk)
    assert "pass their gates by hand" in asked.content.decode()
    _act(browser, lists, "advance_phase", rollout.pk, **reason, **{f"seen-{rollout.pk}": "1"})
    page = browser.get(f"{lists}{rollout.pk}/change/").content.decode()
    assert "minimum_soak_seconds" in page
    phases = browser.get(f"/admin/updates/phase/?rollout__id__exact={rollout.pk}")
    assert "because" in phases.content.decode()
    empty = _act(browser, lists, "halt_rollout", rollout.pk, confirmed="1", reason="")
    assert empty.status_code == 200
    _act(browser, lists, "halt_rollout", rollout.pk, **reason)
    assert _fresh(Rollout, acme.id, name="to all").state == "halted"
    nothing = _act(browser, lists, "roll_back_rollout", rollout.pk, confirmed="1")
    assert "earlier release" in browser.get(nothing["Location"]).content.decode()
    _act(browser, lists, "clone_rollout", rollout.pk)
    assert _fresh(Rollout, acme.id, name="to all (copy)").state == "draft"


def test_a_rollout_to_everything_has_to_say_so(
    browser: Client, release: Release, acme: Cast
) -> None:
    page = _plan(browser, release)
    assert "or all devices" in page.content.decode()
    assert _plan(browser, release, devices=[str(acme.device.id)]).status_code == 302
    rollout = _fresh(Rollout, acme.id, name="to all")
    assert rollout.target["device_ids"] == [str(acme.device.id)]


def test_the_approver_approves_the_plan_that_was_shown(
    browser: Client, release: Release, acme: Cast, sign_in: Callable[[Membership], Client]
) -> None:
    _plan(browser, release, all_devices="on", requires_approval="on")
    rollout = _fresh(Rollout, acme.id, name="to all")
    lists = "/admin/updates/rollout/"
    _act(browser, lists, "submit_rollout", rollout.pk)
    other = sign_in(
        factories.membership(acme.id, factories.user("ann@acme.test"), factories.Role.ADMIN)
    )
    page = _act(other, lists, "approve_rollout", rollout.pk)
    assert rollout.plan_hash in page.content.decode()
    seen = f"seen-{rollout.pk}"
    _act(other, lists, "approve_rollout", rollout.pk, confirmed="1", **{seen: "0" * 64})
    assert _fresh(Rollout, acme.id, name="to all").state == "pending_approval"
    _act(other, lists, "approve_rollout", rollout.pk, confirmed="1", **{seen: rollout.plan_hash})
    assert _fresh(Rollout, acme.id, name="to all").state == "scheduled"


def test_superusers_disable_and_enable_people(
    sign_in: Callable[[Membership], Client], alice_member: Membership, bob_member: Membership
) -> None:
    alice_member.user.is_superuser = True
    alice_member.user.save(update_fields=["is_superuser"])
    browser, bob = sign_in(alice_member), bob_member.user
    for action, is_active in (("disable_user", False), ("enable_user", True)):
        _act(browser, "/admin/accounts/user/", action, bob.pk, confirmed="1")
        bob.refresh_from_db()
        assert bob.is_active is is_active


def test_owners_do_not_disable_people(browser: Client, bob_member: Membership) -> None:
    response = _act(browser, "/admin/accounts/user/", "disable_user", bob_member.user_id)
    bob_member.user.refresh_from_db()
    assert (response.status_code, bob_member.user.is_active) == (403, True)

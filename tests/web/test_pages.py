"""The pages: they show what is there, escaped, to whom it belongs, and cost few queries."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.core.actors import Actor
from apps.core.authz import Role
from apps.core.tenancy import tenant
from apps.devices.domain.states import Lifecycle
from apps.organizations.models import Membership
from tests import factories
from tests.factories import Cast
from tests.web.pages import Furnished, furnish

LIVE = {"X-Requested-With": "fleetd-live"}


@pytest.fixture(autouse=True)
def storage(settings: object, tmp_path: Path) -> None:
    settings.STORAGE_URL = f"file://{tmp_path}"


@pytest.fixture
def owner(alice_member: Membership) -> Client:
    """Alice's browser."""
    browser = Client()
    browser.force_login(alice_member.user)
    return browser


@pytest.fixture
def viewer(bob_member: Membership) -> Client:
    """Bob's browser; he may look and not touch."""
    browser = Client()
    browser.force_login(bob_member.user)
    return browser


@pytest.fixture
def fleet(alice: Actor, globex: Cast) -> Iterator[Furnished]:
    """Acme's things."""
    return furnish(alice)


def text_of(browser: Client, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200, f"{address}: {answer.status_code}"
    return answer.content.decode()


def test_every_list_of_an_empty_organization_says_what_to_do(db: None) -> None:
    empty = factories.organization("Empty")
    browser = Client()
    browser.force_login(factories.membership(empty.id, factories.user(), Role.OWNER).user)
    lists = ["/", "/devices", "/device-groups", "/enrollment-tokens", "/artifacts", "/releases"]
    for address in [*lists, "/releases/new", "/rollouts", "/rollouts/new", "/audit"]:
        assert "empty-title" in text_of(browser, address), address
    assert "No device matches" in text_of(browser, "/devices?q=none")


def test_every_page_answers_and_escapes_what_devices_and_people_wrote(
    owner: Client, fleet: Furnished
) -> None:
    for address in fleet.addresses():
        assert "<script>alert" not in text_of(owner, address), address


class Markup(HTMLParser):
    """What a strict policy would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            is_inline = name == "style" or name.startswith("on")
            is_foreign = name in ("src", "href") and str(value).startswith(("http", "//", "data:"))
            if is_inline or is_foreign:
                self.refused.append(f"{tag} {name}={value}")
        if tag == "style" or (tag == "script" and "src" not in dict(attrs)):
            self.refused.append(tag)


def test_no_page_has_inline_code_or_asks_another_host(owner: Client, fleet: Furnished) -> None:
    for address in fleet.addresses():
        answer = owner.get(address)
        markup = Markup()
        markup.feed(answer.content.decode())
        assert markup.refused == [], address
        assert "unsafe" not in answer["Content-Security-Policy"]


def test_ids_of_another_organization_are_not_found(
    charlie_member: Membership, fleet: Furnished
) -> None:
    stranger = Client()
    stranger.force_login(charlie_member.user)
    foreign = [a for a in fleet.addresses() if re.search(r"[0-9a-f]{8}-", a)]
    assert len(foreign) > 8
    for address in foreign:
        assert stranger.get(address).status_code == 404, address


def test_nobody_sees_a_page_without_signing_in(fleet: Furnished) -> None:
    for address in fleet.addresses():
        answer = Client().get(address)
        assert answer.status_code == 302, address
        assert answer["Location"].startswith("/accounts/login?next=")


def test_a_live_region_that_did_not_change_costs_no_bytes(owner: Client, fleet: Furnished) -> None:
    for address in (a for a in fleet.addresses() if "fragment=" in a):
        first = owner.get(address, headers=LIVE)
        again = owner.get(address, headers={**LIVE, "If-None-Match": first["ETag"]})
        assert (again.status_code, again.content) == (304, b""), address


def test_a_live_region_carries_the_id_that_the_page_replaces(
    owner: Client, fleet: Furnished
) -> None:
    for address in (a for a in fleet.addresses() if "fragment=" in a):
        part = text_of(owner, address)
        found = re.match(r'\s*<\w+[^>]* id="([\w-]+)"|\s*<\w+ id="([\w-]+)"', part)
        assert found, address
        name = found[1] or found[2]
        assert f'id="{name}"' in text_of(owner, address.split("?")[0]), address


def test_lists_cost_the_same_queries_however_long_they_are(owner: Client, acme: Cast) -> None:
    owner.get("/devices")
    with CaptureQueriesContext(connection) as few:
        owner.get("/devices")
    for _ in range(30):
        factories.device(acme.id, state=factories.online())
    with CaptureQueriesContext(connection) as many:
        owner.get("/devices")
    assert len(many) == len(few)
    # A third of them finds out who asks: session, membership, team roles and single grants.
    assert len(few) <= 26


def test_tiles_count_what_the_lists_behind_them_show(owner: Client, fleet: Furnished) -> None:
    page = text_of(owner, "/")
    tiles = re.findall(
        r'<a class="tile" href="([^"]+)".*?<span class="tile-value">(\d+)</span>', page, re.DOTALL
    )
    assert len(tiles) == 6
    for address, number in tiles:
        rows = text_of(owner, address.replace("&amp;", "&")).count("data-live-row=")
        assert rows == int(number), address


def test_a_device_past_its_deadline_is_offline_with_the_reason(
    owner: Client, fleet: Furnished
) -> None:
    assert "missed" in text_of(owner, _offline_page(owner))


def _offline_page(browser: Client) -> str:
    page = text_of(browser, "/devices?connectivity=offline")
    found = re.search(r'href="(/devices/[0-9a-f-]{36})"', page)
    assert found
    return found[1]


def test_a_filter_stays_in_the_address_of_the_next_page(owner: Client, acme: Cast) -> None:
    for number in range(60):
        factories.device(acme.id, f"shelf-{number:02}")
    first = text_of(owner, "/devices?q=shelf")
    found = re.search(r'href="(/devices\?[^"]+)" rel="next"|rel="next" href="([^"]+)"', first)
    found = found or re.search(r'href="([^"]+)" rel="next"', first)
    assert found
    second = text_of(owner, found[1].replace("&amp;", "&"))
    assert "shelf-59" in second
    assert "acme-one" not in second


def test_a_filter_that_means_nothing_is_refused_in_words(owner: Client) -> None:
    answer = owner.get("/devices?connectivity=sleepy")
    assert answer.status_code == 400
    assert "connectivity is one of" in answer.content.decode()


def test_a_viewer_sees_no_buttons_and_cannot_press_them(viewer: Client, fleet: Furnished) -> None:
    for address in (f"/devices/{fleet.device_id}", f"/rollouts/{fleet.rollout.id}", "/"):
        page = text_of(viewer, address)
        actions = page.split("page-actions", 1)[1].split("</header>", 1)[0]
        assert "data-dialog-open" not in actions, address
    assert viewer.post(f"/rollouts/{fleet.rollout.id}/pause").status_code == 403
    assert viewer.post(f"/devices/{fleet.device_id}/quarantine").status_code == 403
    assert viewer.get("/devices/add").status_code == 403


def test_buttons_of_a_rollout_do_what_they_say(owner: Client, fleet: Furnished) -> None:
    address = f"/rollouts/{fleet.rollout.id}"
    for verb, word in (("pause", "Paused"), ("resume", "Running"), ("cancel", "Cancelled")):
        assert owner.post(f"{address}/{verb}").status_code == 302
        assert word in text_of(owner, address)


def test_a_button_pressed_too_late_says_so_on_the_page(owner: Client, fleet: Furnished) -> None:
    address = f"/rollouts/{fleet.rollout.id}"
    owner.post(f"{address}/cancel")
    page = owner.post(f"{address}/pause", follow=True).content.decode()
    assert "Only a running rollout can be paused." in page


def test_whoever_made_a_plan_is_not_offered_to_approve_it(
    owner: Client, acme: Cast, fleet: Furnished
) -> None:
    address = f"/rollouts/{fleet.draft.id}"
    owner.post(f"{address}/submit")
    assert "Somebody else has to approve it" in text_of(owner, address)
    other = Client()
    other.force_login(factories.membership(acme.id, factories.user(), Role.ADMIN).user)
    assert 'data-dialog-open="approve"' in text_of(other, address)
    other.post(f"{address}/approve", {"plan_hash": fleet.draft.plan_hash})
    assert "Scheduled" in text_of(owner, address)


def test_an_artifact_in_use_stays_and_the_page_says_why(owner: Client, fleet: Furnished) -> None:
    found = re.search(r'action="(/artifacts/[0-9a-f-]+/delete)"', text_of(owner, "/artifacts"))
    assert found
    page = owner.post(found[1], follow=True).content.decode()
    assert "A release uses this artifact. In use by hello 1.0.0." in page


def test_an_upload_whose_checksum_is_wrong_is_refused_in_words(owner: Client) -> None:
    file = SimpleUploadedFile("tool.sh", b"#!/bin/sh\n")
    wrong = owner.post("/artifacts/upload", {"file": file, "sha256": "0" * 64})
    assert wrong.status_code == 400
    assert "SHA-256 is not the one" in wrong.content.decode()
    file.seek(0)
    stored = owner.post("/artifacts/upload", {"file": file}, follow=True)
    assert "tool.sh is stored" in stored.content.decode()


def test_an_upload_form_from_elsewhere_is_refused(alice_member: Membership) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice_member.user)
    file = SimpleUploadedFile("tool.sh", b"#!/bin/sh\n")
    assert browser.post("/artifacts/upload", {"file": file}).status_code == 403


def test_a_release_form_makes_a_release_or_says_what_is_wrong(
    owner: Client, fleet: Furnished
) -> None:
    artifact = re.search(r'<option value="([0-9a-f-]{36})"', text_of(owner, "/releases/new"))
    assert artifact
    fields = {"name": "gateway", "version": "2.4.0", "component": "1", "name-1": "app"}
    fields |= {"kind-1": "binary", "artifact-1": artifact[1], "target-1": "/opt/app"}
    fields |= {"mode-1": "755", "verify-1": "/opt/app --test", "verify-timeout-1": "30"}
    bad = owner.post("/releases/new", {**fields, "mode-1": "9z"})
    assert bad.status_code == 400
    assert 'value="gateway"' in bad.content.decode()
    page = owner.post("/releases/new", fields, follow=True).content.decode()
    assert "/opt/app --test" in page
    assert "within 30 s" in page


def test_a_release_form_keeps_checks_options_and_rules(owner: Client, fleet: Furnished) -> None:
    artifact = re.search(r'<option value="([0-9a-f-]{36})"', text_of(owner, "/releases/new"))
    assert artifact
    fields = {"name": "web", "version": "3.0", "component": "1", "name-1": "web", "mode-1": ""}
    fields |= {"kind-1": "container", "artifact-1": artifact[1], "target-1": "web"}
    fields |= {"bundle_mode": "sequential", "is_stepping_stone": "on"}
    fields |= {"compatible": 'model = "Pi*"', "requires": "base >=1.2, <2.0\nother"}
    fields |= {"options-1": "ports = 8080:80\nports = 8443:443", "checks-1": "tcp 8080\nheartbeat"}
    wrong = owner.post("/releases/new", {**fields, "checks-1": "ping"})
    assert wrong.status_code == 400
    assert "ports = 8443:443</textarea>" in wrong.content.decode()
    page = owner.post("/releases/new", fields, follow=True).content.decode()
    for shown in ("8443:443", "127.0.0.1:8080", "base &gt;=1.2, &lt;2.0", "other *", "Pi*"):
        assert shown in page, shown
    assert "older versions have to pass through it" in page


def test_a_recall_says_what_it_does_and_asks_for_a_reason(owner: Client, fleet: Furnished) -> None:
    address = f"/releases/{fleet.release.id}"
    assert "2 rollouts" not in text_of(owner, address)
    assert "1 rollout of it is under way and halts." in text_of(owner, address)
    owner.post(f"{address}/recall", {"reason": " "})
    assert 'data-dialog-open="recall"' in text_of(owner, address)
    owner.post(f"{address}/deprecate", {"reason": "2.0 is better."})
    assert "2.0 is better." in text_of(owner, address)
    owner.post(f"{address}/recall", {"reason": "<b>It fills the disk.</b>"})
    page = text_of(owner, address)
    assert "&lt;b&gt;It fills the disk.&lt;/b&gt;" in page
    assert 'data-dialog-open="recall"' not in page
    assert "Roll it out" not in page


def test_a_rollout_form_counts_its_targets_as_it_is_filled_in(
    owner: Client, fleet: Furnished
) -> None:
    address = "/rollouts/new/preview"
    preview = text_of(
        owner, f"{address}?tags=lab&strategy=own&phase=0&phase=1&p0-size=50&p1-size=100"
    )
    assert '<div class="big-number">3</div>' in preview
    assert "2 devices" in preview
    wrong = text_of(owner, f"{address}?strategy=own&phase=0&phase=1&p0-size=50&p1-size=40")
    assert "rise from one phase to the next" in wrong


def test_decommissioning_asks_for_the_name(owner: Client, acme: Cast) -> None:
    address = f"/devices/{acme.device.id}"
    owner.post(f"{address}/decommission", {"confirm": "something else"})
    assert "Active" in text_of(owner, address).split("page-actions")[0]
    owner.post(f"{address}/decommission", {"confirm": acme.device.name, "reason": "sold"})
    assert "sold" in text_of(owner, address)


def test_name_and_tags_are_what_the_form_says(owner: Client, acme: Cast) -> None:
    address = f"/devices/{acme.device.id}"
    owner.post(f"{address}/update", {"name": "hall-7", "tags": "lab, Oslo"})
    owner.post(f"{address}/update", {"name": "hall-7", "tags": "oslo"})
    with tenant(acme.id):
        acme.device.refresh_from_db()
    assert (acme.device.name, acme.device.tags) == ("hall-7", ["oslo"])


def test_approving_a_waiting_device(owner: Client, acme: Cast) -> None:
    waiting = factories.device(acme.id, lifecycle=Lifecycle.PENDING)
    page = owner.post(f"/devices/{waiting.id}/approve", follow=True).content.decode()
    assert "Approved." in page


def test_making_a_group_and_filling_it(owner: Client, acme: Cast) -> None:
    made = owner.post("/device-groups", {"name": "Hall 7"})
    owner.post(f"{made['Location']}/add", {"device": [str(acme.devices[1].id)]})
    assert "acme-two" in text_of(owner, made["Location"])
    owner.post(f"{made['Location']}/remove", {"device": [str(acme.devices[1].id)]})
    assert "No device in this group" in text_of(owner, made["Location"])


def test_a_device_command_is_shown_once(owner: Client) -> None:
    fields = {"name": "One device", "max_uses": "1", "lifetime_hours": "1"}
    answer = owner.post("/devices/add", fields)
    secret = re.search(r"FLEETD_TOKEN=(fld_enr_\w+)", answer.content.decode())
    assert secret
    assert answer["Cache-Control"] == "no-store"
    token_page = re.search(r'data-replace-url="([^"]+)"', answer.content.decode())
    assert token_page
    assert secret[1] not in text_of(owner, token_page[1])


def test_a_bad_token_form_keeps_what_was_typed(owner: Client) -> None:
    fields = {"name": "Line 3", "max_uses": "0", "lifetime_hours": "1", "tags": "lab"}
    answer = owner.post("/devices/add?many=1", fields)
    assert answer.status_code == 400
    assert 'value="Line 3"' in answer.content.decode()


def test_switching_to_an_organization_that_is_not_mine_is_refused(
    owner: Client, globex: Cast, alice_member: Membership
) -> None:
    assert owner.post("/organization/switch", {"organization": globex.id}).status_code == 404
    factories.membership(globex.id, alice_member.user, alice_member.role)
    owner.post("/organization/switch", {"organization": globex.id})
    assert "globex-one" in text_of(owner, "/devices")


def test_rollouts_lie_in_tabs_by_what_they_wait_for(owner: Client, fleet: Furnished) -> None:
    running, draft = f"/rollouts/{fleet.rollout.id}", f"/rollouts/{fleet.draft.id}"
    for tab, shown, hidden in (("active", running, draft), ("draft", draft, running)):
        text = text_of(owner, f"/rollouts?state={tab}")
        assert f'href="{shown}"' in text
        assert f'href="{hidden}"' not in text
    assert "None in this state" in text_of(owner, "/rollouts?state=finished")
    assert owner.get("/rollouts?state=nonsense").status_code == 400

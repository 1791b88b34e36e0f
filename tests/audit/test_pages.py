"""The audit explorer: filters as links, before and after, the truth about the chain."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.audit import tasks
from apps.audit.models import AuditEntry
from apps.audit.services.checkpoints import create_checkpoints
from apps.audit.services.entries import record
from apps.core.actors import Actor, system_actor
from apps.core.authz import Role
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from tests import factories
from tests.audit.support import intruder, own_places, write_entries
from tests.factories import Cast

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _places(settings: Any, tmp_path: Path) -> None:
    own_places(settings, tmp_path)


@pytest.fixture
def browser(alice_member: Membership) -> Client:
    client = Client()
    client.force_login(alice_member.user, backend=BACKEND)
    return client


@pytest.fixture
def filled(acme: Cast, alice: Actor, bob: Actor) -> None:
    with tenant(acme.id):
        record(alice, "devices.update_device", acme.device, changes={"name": ["old", "new"]})
        record(bob, "updates.pause_rollout", result=AuditEntry.Result.DENIED)
        record(system_actor(acme.id), "updates.open_phase", changes={"index": 1})


def page(client: Client, address: str = "/audit") -> str:
    answer = client.get(address)
    assert answer.status_code == 200, answer.content
    return unescape(answer.content.decode())


def rows(text: str) -> list[str]:
    """The actions on the page."""
    return re.findall(r'<span class="sub">([a-z_]+\.[a-z_]+)</span>', text)


def links(text: str) -> dict[str, str]:
    """The facets: their words and addresses."""
    return {
        re.sub(r"<.*", "", word).strip(): address
        for address, word in re.findall(r'<a class="facet" href="([^"]*)"[^>]*>(.*?)</a>', text)
    }


def test_each_facet_is_a_link_that_narrows_and_one_that_takes_it_back(
    browser: Client, filled: None
) -> None:
    text = page(browser)
    assert rows(text) == ["updates.open_phase", "updates.pause_rollout", "devices.update_device"]
    found = links(text)
    assert found["refused"] == "?result=denied"
    assert rows(page(browser, f"/audit{found['refused']}")) == ["updates.pause_rollout"]
    assert rows(page(browser, f"/audit{found['devices']}")) == ["devices.update_device"]
    chosen = page(browser, "/audit?result=denied&action=updates.")
    assert links(chosen)["refused"] == "?action=updates."
    assert links(chosen)["done"] == "?action=updates.&result=success"


def test_changes_are_shown_before_and_after(browser: Client, filled: None) -> None:
    text = page(browser, "/audit?action=devices.")
    assert "<del>old</del>" in text
    assert "<ins>new</ins>" in text
    value_only = page(browser, "/audit?action=updates.open")
    assert "<del>" not in value_only
    assert "Before</th>" not in value_only


def test_an_entry_leads_to_its_object_request_and_actor(
    browser: Client, filled: None, acme: Cast, alice_member: Membership
) -> None:
    text = page(browser, "/audit?action=devices.")
    assert f'href="/devices/{acme.device.id}"' in text
    assert f'href="/audit?object_id={acme.device.id}"' in text
    assert 'href="/audit?request_id=request-1"' in text
    assert f'href="/audit?actor_id={alice_member.user_id}"' in text
    assert len(rows(page(browser, "/audit?request_id=request-1"))) == 2


def test_a_device_leads_to_its_history_for_whoever_may_see_it(
    browser: Client, acme: Cast, bob_member: Membership
) -> None:
    link = f'href="/audit?object_id={acme.device.id}"'
    assert link in page(browser, f"/devices/{acme.device.id}")
    bobs = Client()
    bobs.force_login(bob_member.user, backend=BACKEND)
    assert link not in page(bobs, f"/devices/{acme.device.id}")


def test_what_is_no_time_is_said_and_ignored(browser: Client, filled: None) -> None:
    text = page(browser, "/audit?since=yesterday")
    assert "“yesterday” is no time." in text
    assert len(rows(text)) == 3
    assert rows(page(browser, "/audit?since=2999-01-01T00:00")) == []


def test_new_entries_wait_unless_the_tail_is_on(browser: Client, filled: None) -> None:
    assert "data-live-hold" in page(browser)
    tail = page(browser, "/audit?tail=1")
    assert "data-live-hold" not in tail
    assert links(tail)["refused"] == "?result=denied&tail=1"
    fragment = page(browser, "/audit?fragment=list&result=denied")
    assert fragment.startswith('<div id="audit-list"')
    assert rows(fragment) == ["updates.pause_rollout"]


def test_files_have_the_filters_of_the_page(browser: Client, filled: None) -> None:
    assert 'href="/audit/export/csv?result=denied"' in page(browser, "/audit?result=denied")
    answer = browser.get("/audit/export/ndjson?result=denied")
    assert len(answer.content.splitlines()) == 1
    assert browser.get("/audit/export/exe").status_code == 404


def state(client: Client) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page(client, "/audit?fragment=state")))


@pytest.mark.django_db(transaction=True)
def test_the_line_about_the_chain_says_what_was_done(browser: Client, acme: Cast) -> None:
    assert "Chain not checked yet" in state(browser)
    assert "No signed checkpoint yet" in state(browser)
    write_entries(acme.id, 4)
    with tenant(acme.id):
        create_checkpoints(system_actor(acme.id))
    write_entries(acme.id, 1)
    said = state(browser)
    assert "Chain whole up to entry 4, as of" in said
    assert "Signed up to entry 4," in said
    assert "Never read again as a whole" in said
    assert browser.post("/audit/verify").status_code == 302
    assert "Being read again from the first entry on: at 0." in state(browser)
    tasks.verify(str(acme.id))
    assert "Chain whole up to entry 6, as of" in state(browser)
    assert "Read again as a whole" in state(browser)
    with intruder(acme.id) as sql:
        sql.execute("UPDATE audit_entry SET actor_label = 'mallory' WHERE sequence = 2")
    browser.post("/audit/verify")
    tasks.verify(str(acme.id))
    assert "Tampering found at entry 2: entry 2 was changed" in state(browser)


def test_only_auditors_come_here(acme: Cast, bob_member: Membership) -> None:
    client = Client()
    client.force_login(bob_member.user, backend=BACKEND)
    for address in ("/audit", "/audit/export/csv", "/audit/verifier"):
        assert client.get(address).status_code == 403
    assert client.post("/audit/verify").status_code == 403
    auditor = factories.membership(acme.id, factories.user(), Role.AUDITOR)
    client.force_login(auditor.user, backend=BACKEND)
    assert client.get("/audit").status_code == 200


def test_the_page_asks_the_database_no_more_for_many_entries(
    browser: Client, acme: Cast, django_assert_max_num_queries: Any
) -> None:
    write_entries(acme.id, 3)
    page(browser)
    with django_assert_max_num_queries(30) as few:
        page(browser)
    write_entries(acme.id, 60)
    with django_assert_max_num_queries(len(few.captured_queries)):
        page(browser)

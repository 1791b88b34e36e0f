"""The audit trail: one chain per organization that nobody can rewrite."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from celery import current_app
from django.db import DatabaseError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from apps.audit import tasks
from apps.audit.domain.chain import GENESIS, canonical, entry_hash, first_break
from apps.audit.models import AuditEntry, AuditHead
from apps.audit.selectors import find_broken_entry, get_entry, list_entries
from apps.audit.services.entries import record
from apps.core.actors import Actor, system_actor
from apps.core.errors import NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from tests import factories
from tests.devices.support import roll_back
from tests.factories import Cast

WRITERS, ENTRIES = 8, 20


@pytest.mark.usefixtures("in_acme")
def test_an_entry_says_who_did_what_to_what_and_from_where(acme: Cast, erin: Actor) -> None:
    record(erin, "devices.update_device", acme.device, changes={"name": ["a", "b"]})
    entry = AuditEntry.objects.for_org(acme.id).get()
    assert (entry.sequence, entry.action, entry.result) == (1, "devices.update_device", "success")
    assert (entry.actor_kind, entry.actor_id, entry.actor_label) == (
        "user",
        erin.id,
        "erin@acme.test",
    )
    assert (entry.object_type, entry.object_id, entry.object_label) == (
        "device",
        str(acme.device.id),
        "acme-one",
    )
    assert (entry.source, entry.address, entry.request_id) == ("rest", "192.0.2.1", "request-1")
    assert entry.changes == {"name": ["a", "b"]}
    assert entry.time.tzinfo is not None


@pytest.mark.usefixtures("in_acme")
def test_the_chain_is_whole_with_any_values(acme: Cast, erin: Actor) -> None:
    for changes in (
        {},
        {"at": datetime(2026, 1, 1, tzinfo=UTC), "id": uuid7(), "n": 1.5, "none": None},
        {"text": "ümläut \u2028 \U0001f600", "list": [[1, "a"], {"b": True}]},
    ):
        record(erin, "test.action", acme.device, changes=changes)
    assert find_broken_entry(acme.id) is None


@pytest.mark.usefixtures("in_acme")
def test_secrets_are_masked(acme: Cast, erin: Actor) -> None:
    record(erin, "a.b", changes={"password": ["old", "new"], "client_secret": "x", "name": "y"})
    entry = AuditEntry.objects.for_org(acme.id).get()
    assert entry.changes == {"password": "***", "client_secret": "***", "name": "y"}


@pytest.mark.usefixtures("in_acme")
def test_no_value_forges_a_line(acme: Cast, erin: Actor) -> None:
    device = factories.device(acme.id, "x\n2026 \x1b[31m forged")
    record(erin, "a.b", device)
    label = AuditEntry.objects.for_org(acme.id).get().object_label
    assert label.isprintable()


@pytest.mark.usefixtures("in_acme")
def test_a_roll_back_leaves_no_entry_and_no_gap(acme: Cast, erin: Actor) -> None:
    record(erin, "a.first")
    roll_back(acme.id, lambda: record(erin, "a.undone"))
    record(erin, "a.second")
    rows = AuditEntry.objects.for_org(acme.id).order_by("sequence")
    assert list(rows.values_list("sequence", "action")) == [(1, "a.first"), (2, "a.second")]
    assert find_broken_entry(acme.id) is None


def test_readers_are_told_after_commit_once_for_many_entries(
    acme: Cast,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    sent: list[str] = []
    hints: list[tuple[Any, ...]] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **_: sent.append(name))
    monkeypatch.setattr(tasks, "send_hint", lambda *hint: hints.append(hint))
    with django_capture_on_commit_callbacks(execute=True), tenant(acme.id):
        record(system_actor(acme.id), "a.first")
        record(system_actor(acme.id), "a.second")
        assert sent == []
    assert sent == ["audit.announce_entries"]
    with django_capture_on_commit_callbacks(execute=True):
        tasks.announce(str(acme.id))
    assert hints == [(acme.id, f"org.{acme.id}.audit", "audit.entries.added", {})]


@pytest.mark.django_db(transaction=True)
def test_parallel_writers_make_one_unbroken_chain(acme: Cast, globex: Cast) -> None:
    organizations = [acme.id, globex.id]

    def write(number: int) -> None:
        actor = system_actor(organizations[number % 2])
        try:
            for n in range(ENTRIES):
                with tenant(actor.organization_id):
                    record(actor, f"writer.{number}", changes={"n": n})
        finally:
            connection.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    for organization_id in organizations:
        with tenant(organization_id):
            assert find_broken_entry(organization_id) is None
            rows = AuditEntry.objects.for_org(organization_id)
            assert rows.count() == WRITERS * ENTRIES / 2
            head = AuditHead.objects.for_org(organization_id).get()
            assert head.sequence == WRITERS * ENTRIES / 2


@pytest.mark.usefixtures("in_acme")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET action = 'x'",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
        "ALTER TABLE audit_entry DISABLE ROW LEVEL SECURITY",
    ],
)
def test_the_application_can_only_append(acme: Cast, erin: Actor, statement: str) -> None:
    record(erin, "a.b")
    with (
        pytest.raises(DatabaseError, match=r"permission denied|must be owner"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit_entry SET actor_label = 'mallory' WHERE sequence = 2",
        "UPDATE audit_entry SET time = time + interval '1 second' WHERE sequence = 2",
        "DELETE FROM audit_entry WHERE sequence = 2",
        "UPDATE audit_entry SET sequence = 9 - sequence WHERE sequence IN (2)",
    ],
)
def test_whoever_rewrites_the_table_is_found(
    acme: Cast, owner_connection: psycopg.Connection[Any], tampering: str
) -> None:
    actor = system_actor(acme.id)
    for n in range(4):
        with tenant(acme.id):
            record(actor, "a.b", changes={"n": n})
    with owner_connection.transaction():
        owner_connection.execute("SELECT set_config('app.org_id', %s, true)", [str(acme.id)])
        assert owner_connection.execute(tampering).rowcount == 1
    with tenant(acme.id):
        assert find_broken_entry(acme.id) == 2


def test_entries_are_read_by_auditors_of_the_organization_only(
    acme: Cast, globex: Cast, alice: Actor, bob: Actor, charlie: Actor
) -> None:
    with tenant(acme.id):
        entry = record(alice, "a.b", acme.device)
        page = list_entries(alice, PageRequest(), object_id=str(acme.device.id))
        assert [e.id for e in page.items] == [entry.id]
        assert list_entries(alice, PageRequest(), action="other.action").items == []
        with pytest.raises(PermissionDenied):
            list_entries(bob, PageRequest())
    with tenant(globex.id):
        assert list_entries(charlie, PageRequest()).items == []
        with pytest.raises(NotFound):
            get_entry(charlie, entry.id)


FIELDS = st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.booleans())


@given(st.lists(FIELDS, min_size=1, max_size=6), st.data())
def test_any_single_change_breaks_the_chain(entries: list[dict[str, Any]], data: Any) -> None:
    links, previous = [], GENESIS
    for number, fields in enumerate(entries, 1):
        fields["sequence"] = number
        digest = entry_hash(previous, fields)
        links.append((previous, digest, fields))
        previous = digest
    assert first_break(links) is None
    index = data.draw(st.integers(0, len(links) - 1))
    before, digest, fields = links[index]
    links[index] = (before, digest, {**fields, "\x00new": 1})
    assert first_break(links) == index


def test_canonical_json_is_the_same_for_equal_values() -> None:
    assert canonical({"b": 1, "a": [True, None]}) == b'{"a":[true,null],"b":1}'
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical({"x": float("nan")})

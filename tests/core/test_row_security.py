"""The database keeps organizations apart by itself, whatever Python asks for."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from apps.core.guards import OWNERS_TABLES, install_guards, tenant_models
from apps.core.tenancy import credential, person, tenant
from apps.devices.models import Device, DeviceState, GroupMember
from apps.organizations.models import Membership
from tests import factories
from tests.factories import Cast

TABLES = sorted(m._meta.db_table for m in tenant_models())


def count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT count(*) FROM "{table}"')
        return int(cursor.fetchone()[0])


def catalogue(query: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


@pytest.mark.django_db
def test_there_are_tenant_tables() -> None:
    assert {"devices_device", "audit_entry", "enrollment_token", "updates_rollout"} <= set(TABLES)


@pytest.mark.django_db
def test_every_table_with_an_organization_is_forced() -> None:
    """By the catalogue, not by the models: a table made by hand is found too."""
    loose = catalogue(
        "SELECT c.relname FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id'"
        " WHERE c.relkind IN ('r', 'p', 'm') AND c.relnamespace = 'public'::regnamespace"
        " AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
    )
    assert loose == []


@pytest.mark.django_db
def test_every_tenant_table_has_the_restrictive_policy_and_no_other_narrowing() -> None:
    policies = catalogue("SELECT tablename, policyname, permissive FROM pg_policies ORDER BY 1, 2")
    assert policies == [
        row
        for table in TABLES
        for row in (
            (table, "tenant_base", "PERMISSIVE"),
            (table, "tenant_isolation", "RESTRICTIVE"),
        )
    ]


@pytest.mark.django_db
def test_no_foreign_key_between_tenant_tables_lacks_the_organization() -> None:
    rows = catalogue(
        "SELECT k.conname, k.conrelid::regclass::text, k.confrelid::regclass::text,"
        " ARRAY(SELECT a.attname::text FROM unnest(k.conkey) c (n)"
        "  JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.n)"
        " FROM pg_constraint k WHERE k.contype = 'f'"
    )
    between = [r for r in rows if r[1] in TABLES and r[2] in TABLES]
    assert len(between) > 10
    assert [r[0] for r in between if "organization_id" not in r[3]] == []


@pytest.mark.django_db
def test_every_link_of_the_models_is_a_foreign_key() -> None:
    rows = catalogue("SELECT conname FROM pg_constraint WHERE conname LIKE '%tenant_fk'")
    links = sum(
        type(field).__name__.startswith("Tenant")
        for model in tenant_models()
        for field in model._meta.local_fields
    )
    assert len(rows) == links


@pytest.mark.django_db
def test_without_an_organization_every_tenant_table_is_empty(acme: Cast, globex: Cast) -> None:
    assert {table: count(table) for table in TABLES} == dict.fromkeys(TABLES, 0)
    with tenant(acme.id):
        assert count("devices_device") == 2
    assert count("devices_device") == 0


def test_one_sees_the_rows_of_ones_own_organization_only(acme: Cast, globex: Cast) -> None:
    with tenant(acme.id):
        assert {str(r[0]) for r in catalogue("SELECT organization_id FROM devices_device")} == {
            str(acme.id)
        }


def test_rows_of_another_organization_cannot_be_written(acme: Cast, globex: Cast) -> None:
    with tenant(acme.id), pytest.raises(DatabaseError, match="row-level security"):
        _insert_device(globex)
    with tenant(acme.id), connection.cursor() as cursor:
        cursor.execute("UPDATE devices_device SET name = 'x' WHERE id = %s", [globex.device.id])
        assert cursor.rowcount == 0
        cursor.execute("DELETE FROM devices_group_member WHERE group_id = %s", [globex.group.id])
        assert cursor.rowcount == 0


def test_a_row_cannot_change_its_organization(acme: Cast, globex: Cast) -> None:
    with tenant(acme.id), pytest.raises(DatabaseError, match="row-level security"):
        _execute("UPDATE devices_device_group SET organization_id = %s", [globex.id])


def test_a_link_across_organizations_is_refused(acme: Cast, globex: Cast) -> None:
    with tenant(acme.id), pytest.raises(IntegrityError), transaction.atomic():
        GroupMember(organization_id=acme.id, group=acme.group, device_id=globex.device.id).save(
            force_insert=True
        )
    with tenant(acme.id), pytest.raises(IntegrityError), transaction.atomic():
        DeviceState(organization_id=acme.id, device_id=globex.device.id).save(force_insert=True)


def test_a_credential_shows_exactly_its_own_row(acme: Cast, alice_member: Membership) -> None:
    secret = factories.api_key(alice_member)
    factories.api_key(alice_member)
    from apps.accounts.domain.secrets import secret_hash

    with credential(secret_hash(secret)):
        assert count("accounts_api_key") == 1
        assert count("devices_device") == 0
        with pytest.raises(DatabaseError), transaction.atomic():
            _execute("UPDATE accounts_api_key SET name = 'x'", [])
    with credential(secret_hash("guess")):
        assert count("accounts_api_key") == 0


def test_a_person_sees_their_own_memberships_only(
    acme: Cast, alice_member: Membership, bob_member: Membership
) -> None:
    with person(alice_member.user_id):
        assert count("organizations_membership") == 1


@pytest.mark.django_db
def test_the_application_cannot_write_what_only_migrations_write() -> None:
    for table in OWNERS_TABLES:
        with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
            _execute(f"DELETE FROM {table}", [])


@pytest.mark.django_db
def test_the_application_cannot_switch_row_security_off() -> None:
    for statement in (
        "ALTER TABLE devices_device DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant_isolation ON devices_device",
        "SET SESSION AUTHORIZATION postgres",
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            _execute(statement, [])


@pytest.fixture
def as_owner(owner_url: str, monkeypatch: pytest.MonkeyPatch, db: None) -> Iterator[Any]:
    """The guards run as the schema's owner, and are undone."""
    from apps.core import guards

    class Wrapper:
        """As much of Django's connection as the guards use."""

        def __init__(self, raw: psycopg.Connection) -> None:
            self.raw, self.ops = raw, connection.ops
            self.introspection = self

        def cursor(self) -> Any:
            return self.raw.cursor()

        def table_names(self) -> list[str]:
            return connection.introspection.table_names()

    with psycopg.connect(owner_url) as raw:
        wrapper = Wrapper(raw)
        monkeypatch.setattr(guards, "connection", wrapper)
        yield raw
        raw.rollback()


def test_the_guards_repair_what_is_missing(as_owner: Any) -> None:
    as_owner.execute("DROP TABLE devices_group_member")
    as_owner.execute(
        "CREATE TABLE devices_group_member"
        " (id uuid PRIMARY KEY, organization_id uuid, group_id uuid, device_id uuid)"
    )
    install_guards()
    forced = as_owner.execute(
        "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'devices_group_member'"
    ).fetchone()
    keys = as_owner.execute(
        "SELECT count(*) FROM pg_constraint"
        " WHERE conrelid = 'devices_group_member'::regclass AND conname LIKE '%tenant%'"
    ).fetchone()
    assert forced == (True,)
    assert keys == (3,)


def test_a_new_tenant_key_brings_its_links_back(as_owner: Any) -> None:
    as_owner.execute(
        "UPDATE core_installed_guard SET digest = 'old'"
        " WHERE table_name = 'devices_device' AND guard_name = 'key'"
    )
    install_guards()
    links = as_owner.execute(
        "SELECT count(*) FROM pg_constraint"
        " WHERE confrelid = 'devices_device'::regclass AND conname LIKE '%tenant_fk'"
    ).fetchone()
    assert links[0] >= 4


def test_running_the_guards_again_changes_nothing(as_owner: Any) -> None:
    before = as_owner.execute("SELECT xmin, * FROM core_installed_guard ORDER BY id").fetchall()
    install_guards()
    after = as_owner.execute("SELECT xmin, * FROM core_installed_guard ORDER BY id").fetchall()
    assert after == before


def _insert_device(cast: Cast) -> None:
    device = Device(
        organization_id=cast.id,
        name="intruder",
        lifecycle="active",
        hardware_id="x",
        created_at=cast.organization.created_at,
    )
    with transaction.atomic():
        device.save(force_insert=True)


def _execute(statement: str, parameters: list[Any]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)

"""Erasing an organization: all of it, nothing else, never early, never from outside."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.apps import apps
from django.db import DatabaseError, connection

from apps.core import clock
from apps.core.actors import system_actor
from apps.core.authz import Role
from apps.core.erasure import FUNCTION, erasure_order
from apps.core.guards import tenant_models
from apps.core.tenancy import tenant
from apps.organizations.models import Membership, Organization
from apps.organizations.services.deletion import purge_organization, remove_files_of_erased
from apps.organizations.services.exports import continue_export, export_organization
from apps.organizations.services.invitations import create_invitation
from apps.organizations.storage import organization_folder
from tests import factories
from tests.factories import Cast
from tests.isolation.world import checksums, furnish
from tests.organizations.support import as_now

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> Path:
    """Files lie in a folder of the test's own."""
    settings.STORAGE_URL = f"file://{tmp_path}"
    return tmp_path


def due(owner: psycopg.Connection, organization_id: UUID) -> None:
    """Its time of grace is over: only the owner of the schema can say so."""
    owner.execute(
        "UPDATE organizations_organization SET status = 'deleting',"
        " deletes_at = now() - interval '1 second' WHERE id = %s",
        [organization_id],
    )


def rows_of(organization_id: UUID) -> dict[str, int]:
    """Tables that hold rows of the organization, and how many."""
    with tenant(organization_id):
        counts = {
            model._meta.db_table: model.objects.for_org(organization_id).count()
            for model in tenant_models()
        }
    return {table: n for table, n in counts.items() if n}


def erase_by_hand(organization_id: UUID, *, within: UUID | None) -> None:
    """Calls the function of the database as the application can."""
    with connection.cursor() as cursor:
        if within is None:
            cursor.execute(f"SELECT {FUNCTION}(%s)", [organization_id])
        else:
            with tenant(within):
                cursor.execute(f"SELECT {FUNCTION}(%s)", [organization_id])


def test_all_of_it_goes_and_nothing_else(
    acme: Cast,
    globex: Cast,
    alice_member: Membership,
    charlie_member: Membership,
    owner_connection: psycopg.Connection,
) -> None:
    alice = as_now(alice_member)
    furnish(acme, alice_member)
    furnish(globex, charlie_member)
    factories.membership(globex.id, alice_member.user, Role.VIEWER)
    with tenant(acme.id):
        create_invitation(alice, role="viewer")
        export_organization(alice, acme.id)
        while continue_export(system_actor(acme.id)):
            pass
    before = checksums(globex.id)
    assert len(rows_of(acme.id)) > 12
    assert organization_folder(acme.id).is_dir()
    due(owner_connection, acme.id)
    with tenant(acme.id):
        assert purge_organization(system_actor(acme.id))
    assert rows_of(acme.id) == {}
    assert not Organization.objects.filter(id=acme.id).exists()
    assert not organization_folder(acme.id).exists()
    assert checksums(globex.id) == before
    alice_member.user.refresh_from_db()  # people stay: they may belong elsewhere
    assert not remove_files_of_erased(None, globex.id)


@pytest.mark.parametrize("status", ["active", "suspended", "deleting"])
def test_the_database_refuses_what_is_not_due(
    acme: Cast, owner_connection: psycopg.Connection, status: str
) -> None:
    later = clock.now() + timedelta(days=2) if status == "deleting" else None
    Organization.objects.filter(id=acme.id).update(status=status, deletes_at=later)
    with pytest.raises(DatabaseError, match="not due"):
        erase_by_hand(acme.id, within=acme.id)
    assert rows_of(acme.id)


def test_nobody_erases_from_outside(
    acme: Cast, globex: Cast, owner_connection: psycopg.Connection
) -> None:
    due(owner_connection, globex.id)
    for within in (acme.id, None):
        with pytest.raises(DatabaseError, match="from within only"):
            erase_by_hand(globex.id, within=within)
    assert rows_of(globex.id)


def test_the_application_cannot_hurry_the_grace(acme: Cast) -> None:
    rows = Organization.objects.filter(id=acme.id)
    for deletes_at in (clock.now(), clock.now() + timedelta(hours=23)):
        with pytest.raises(DatabaseError, match="before 1 day"):
            rows.update(status="deleting", deletes_at=deletes_at)
    rows.update(status="deleting", deletes_at=clock.now() + timedelta(days=7))
    with pytest.raises(DatabaseError, match="before 1 day"):
        rows.update(deletes_at=clock.now())
    rows.update(status="active", deletes_at=None)


def test_only_the_application_may_call_it(owner_connection: psycopg.Connection) -> None:
    public = owner_connection.execute(
        "SELECT proacl::text, prosecdef FROM pg_proc WHERE proname = %s", [FUNCTION]
    ).fetchone()
    assert public is not None
    rights, is_definer = public
    assert is_definer
    assert "fleetd_app=X" in rights
    assert not any(entry.startswith("=") for entry in rights.strip("{}").split(","))


def test_every_table_is_erased_before_those_that_it_refers_to() -> None:
    order = erasure_order(tenant_models())
    assert set(order) == set(tenant_models())
    assert {m._meta.db_table for m in order} <= {m._meta.db_table for m in apps.get_models()}


def test_rows_that_are_never_changed_are_not_deleted_otherwise(acme: Cast) -> None:
    with tenant(acme.id), connection.cursor() as cursor, pytest.raises(DatabaseError):
        cursor.execute("DELETE FROM audit_entry")

"""The archive of an organization: whole, without secrets, resumable, and for owners only."""

import gzip
import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from apps.core import clock
from apps.core.actors import Actor, system_actor
from apps.core.authz import Role
from apps.core.errors import NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.tenancy import tenant
from apps.organizations.exports import get_finished_export
from apps.organizations.models import Membership, OrganizationExport
from apps.organizations.services import exports
from apps.organizations.services.exports import (
    continue_export,
    export_organization,
    exported_models,
    remove_old_exports,
)
from apps.organizations.services.invitations import create_invitation
from apps.organizations.storage import export_file, export_folder
from tests import factories
from tests.factories import Cast
from tests.organizations.support import as_now, entries, set_status
from tests.rest.conftest import Api

in_acme = pytest.mark.usefixtures("in_acme")


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> Path:
    """Files lie in a folder of the test's own."""
    settings.STORAGE_URL = f"file://{tmp_path}"
    return tmp_path


def finish(organization: Cast) -> OrganizationExport:
    """Works until the running export is done."""
    turns = 0
    while continue_export(system_actor(organization.id)):
        turns += 1
        assert turns < 500
    found: OrganizationExport = OrganizationExport.objects.for_org(organization.id).latest("id")
    return found


def rows_in(archive: zipfile.ZipFile, table: str) -> list[dict[str, Any]]:
    """The rows of one table."""
    text = gzip.decompress(archive.read(f"tables/{table}.jsonl.gz")).decode()
    return [json.loads(line) for line in text.splitlines()]


@in_acme
def test_it_holds_every_table_and_nothing_of_others(
    acme: Cast, alice_member: Membership, bob_member: Membership
) -> None:
    export_organization(as_now(alice_member), acme.id)
    done = finish(acme)
    assert (done.state, done.tables_done, done.error) == ("done", done.tables_total, "")
    with zipfile.ZipFile(export_file(acme.id, done.id)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        tables = {entry["table"]: entry["rows"] for entry in manifest["tables"]}
        assert set(tables) == {model._meta.db_table for model in exported_models()}
        assert sum(tables.values()) == done.row_count == manifest["rows"]
        devices = rows_in(archive, "devices_device")
        assert {d["name"] for d in devices} == {"acme-one", "acme-two"}
        trail = rows_in(archive, "audit_entry")
        assert [e["action"] for e in trail] == ["organizations.export_organization"]
        assert len(trail[0]["hash"]) == 64
        people = [json.loads(line) for line in archive.read("people.jsonl").splitlines()]
        assert {p["email"] for p in people} == {"alice@acme.test", "bob@acme.test"}
        assert json.loads(archive.read("organization.json"))["slug"] == "acme"
        everything = b"".join(
            gzip.decompress(archive.read(name)) if name.endswith(".gz") else archive.read(name)
            for name in archive.namelist()
        )
    assert b"globex" not in everything.lower()
    assert done.size_bytes == export_file(acme.id, done.id).stat().st_size


@in_acme
def test_no_secret_and_no_digest_of_one_is_in_it(acme: Cast, alice_member: Membership) -> None:
    alice = as_now(alice_member)
    made = create_invitation(alice, role="viewer")
    factories.api_key(alice_member)
    export_organization(alice, acme.id)
    done = finish(acme)
    with zipfile.ZipFile(export_file(acme.id, done.id)) as archive:
        (key,) = rows_in(archive, "accounts_api_key")
        (invitation,) = rows_in(archive, "organizations_invitation")
    for row in (key, invitation):
        assert not {"secret_hash", "previous_hash", "password"} & row.keys()
    assert made.invitation.secret_hash not in str(invitation)


@in_acme
def test_a_worker_that_dies_costs_one_piece(
    acme: Cast, alice_member: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        factories.device(acme.id, f"more-{number}")
    monkeypatch.setattr(exports, "BATCH_ROWS", 2)
    monkeypatch.setattr(exports, "TURN_SECONDS", 0.0)
    export_organization(as_now(alice_member), acme.id)
    seen = set()
    for _ in range(200):
        if not continue_export(system_actor(acme.id)):
            break
        row = OrganizationExport.objects.for_org(acme.id).get()
        seen.add((row.tables_done, row.row_count))
        if row.parts:  # what a dead worker left: a piece that nobody counted
            leftover = export_folder(acme.id, row.id) / f"{row.table}.{len(row.parts):05}"
            leftover.write_bytes(b"half a piece")
    assert len(seen) > 5
    done = OrganizationExport.objects.for_org(acme.id).get()
    with zipfile.ZipFile(export_file(acme.id, done.id)) as archive:
        assert len(rows_in(archive, "devices_device")) == 9


@in_acme
def test_asking_while_one_is_written_answers_that_one(acme: Cast, alice_member: Membership) -> None:
    alice = as_now(alice_member)
    first = export_organization(alice, acme.id)
    assert export_organization(alice, acme.id).id == first.id
    finish(acme)
    assert export_organization(alice, acme.id).id != first.id
    assert len(entries(acme, "organizations.export_organization")) == 2


@pytest.mark.parametrize("status", ["suspended", "deleting"])
def test_owners_export_while_everything_stands_still(
    acme: Cast, alice_member: Membership, status: str
) -> None:
    later = clock.now() + timedelta(days=3) if status == "deleting" else None
    set_status(acme, status, deletes_at=later)
    with tenant(acme.id):
        export_organization(as_now(alice_member), acme.id)
        assert finish(acme).state == "done"


@in_acme
def test_only_owners_export_and_nothing_foreign(
    acme: Cast, globex: Cast, alice: Actor, bob: Actor
) -> None:
    admin = factories.actor(factories.membership(acme.id, factories.user(), Role.ADMIN))
    for actor in (bob, admin):
        with pytest.raises(PermissionDenied):
            export_organization(actor, acme.id)
    for other in (globex.id, uuid7()):
        with pytest.raises(NotFound):
            export_organization(alice, other)
    made = export_organization(alice, acme.id)
    with pytest.raises(NotFound):
        get_finished_export(alice, globex.id, made.id)


@in_acme
def test_a_full_disk_ends_it_with_a_word(
    acme: Cast, alice_member: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exports, "_write_lines", full)
    export_organization(as_now(alice_member), acme.id)
    failed = finish(acme)
    assert (failed.state, bool(failed.error)) == ("failed", True)


def test_rest_begins_follows_and_downloads_it(acme: Cast, alice_member: Membership) -> None:
    api = Api(factories.api_key(alice_member))
    begun = api.post(f"organizations/{acme.id}:export").json()
    address = f"organizations/{acme.id}/exports/{begun['id']}"
    early = api.get(f"{address}/content")
    assert (early.status_code, early.json()["code"]) == (409, "export_not_ready")
    with tenant(acme.id):
        done = finish(acme)
    assert api.get(address).json()["state"] == "done"
    response = api.get(f"{address}/content")
    assert response["Content-Type"] == "application/zip"
    assert response["ETag"] == f'"{done.sha256}"'
    assert int(response["Content-Length"]) == done.size_bytes


@in_acme
def test_archives_are_kept_for_a_week(
    acme: Cast, alice_member: Membership, django_capture_on_commit_callbacks: Any
) -> None:
    export_organization(as_now(alice_member), acme.id)
    done = finish(acme)
    assert remove_old_exports(system_actor(acme.id)) == 0
    OrganizationExport.unscoped.filter(id=done.id).update(
        finished_at=clock.now() - timedelta(days=8)
    )
    with django_capture_on_commit_callbacks(execute=True):
        assert remove_old_exports(system_actor(acme.id)) == 1
    assert not export_folder(acme.id, done.id).exists()

"""Signed checkpoints, the second place, the check of the chain, and retention."""

import json
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction

from apps.audit import tasks
from apps.audit.domain.offline_verifier import MerkleTree
from apps.audit.errors import ChainBroken, NothingToPrune, SigningKeyMissing
from apps.audit.models import AuditCheckpoint, AuditEntry, AuditVerification
from apps.audit.services import checkpoints as signing_service
from apps.audit.services.checkpoints import create_checkpoints
from apps.audit.services.pruning import prune_entries
from apps.audit.services.second_place import copy_checkpoints, kept_checkpoints, path_of
from apps.audit.services.signing import ensure_signing_key, load_signing_key
from apps.audit.services.verification import verify_chain, verify_some
from apps.core import clock
from apps.core.actors import Actor, system_actor
from apps.core.errors import PermissionDenied
from apps.core.tenancy import tenant
from tests.audit.support import as_owner, audit, intruder, own_places, write_entries
from tests.factories import Cast


@pytest.fixture(autouse=True)
def _places(settings: Any, tmp_path: Path) -> None:
    own_places(settings, tmp_path)


def sign(organization_id: UUID) -> list[AuditCheckpoint]:
    with tenant(organization_id):
        return create_checkpoints(system_actor(organization_id))


def copy(organization_id: UUID) -> int:
    with tenant(organization_id):
        return copy_checkpoints(system_actor(organization_id))


def lines(organization_id: UUID) -> list[int]:
    return [c["sequence"] for c in kept_checkpoints(organization_id)]


@pytest.mark.django_db
def test_the_key_is_made_once_and_only_its_owner_reads_it(settings: Any) -> None:
    before = load_signing_key().key_id
    assert stat.S_IMODE(settings.AUDIT_KEY_FILE.stat().st_mode) == 0o600
    assert ensure_signing_key() == []
    assert load_signing_key().key_id == before


@pytest.mark.django_db
def test_a_key_that_the_operator_names_is_never_replaced(settings: Any, tmp_path: Path) -> None:
    settings.AUDIT_KEY_FILE, settings.AUDIT_KEY_IS_GIVEN = tmp_path / "gone.key", True
    with pytest.raises(SigningKeyMissing):
        ensure_signing_key()
    assert not settings.AUDIT_KEY_FILE.exists()


def test_a_checkpoint_covers_what_was_added_since_the_last(acme: Cast) -> None:
    assert sign(acme.id) == []
    write_entries(acme.id, 3)
    (first,) = sign(acme.id)
    assert (first.since, first.sequence) == (0, 3)
    assert sign(acme.id) == []
    write_entries(acme.id, 2)
    (second,) = sign(acme.id)
    assert (second.since, second.sequence) == (3, 5)
    with tenant(acme.id):
        tree = MerkleTree()
        for entry in (
            AuditEntry.objects.for_org(acme.id).filter(sequence__gt=3).order_by("sequence")
        ):
            tree.add(bytes(entry.hash))
    assert bytes(second.root) == tree.root()


def test_a_long_backlog_becomes_several_checkpoints(
    acme: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_service, "SEGMENT", 2)
    write_entries(acme.id, 5)
    assert [(c.since, c.sequence) for c in sign(acme.id)] == [(0, 2), (2, 4), (4, 5)]


@pytest.mark.usefixtures("in_acme")
@pytest.mark.parametrize(
    "statement", ["UPDATE audit_checkpoint SET since = 0", "DELETE FROM audit_checkpoint"]
)
def test_the_application_cannot_change_checkpoints(acme: Cast, statement: str) -> None:
    write_entries(acme.id, 1)
    sign(acme.id)
    with (
        pytest.raises(DatabaseError, match="permission denied"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


@pytest.mark.django_db(transaction=True)
def test_what_was_tampered_with_is_not_signed(acme: Cast) -> None:
    write_entries(acme.id, 4)
    with intruder(acme.id) as sql:
        sql.execute("UPDATE audit_entry SET actor_label = 'mallory' WHERE sequence = 3")
    with pytest.raises(ChainBroken) as caught:
        sign(acme.id)
    assert caught.value.data == {"sequence": 3}
    with tenant(acme.id):
        assert not AuditCheckpoint.objects.for_org(acme.id).exists()


def test_each_checkpoint_is_copied_once(acme: Cast, globex: Cast) -> None:
    for cast in (acme, globex):
        write_entries(cast.id, 2)
        sign(cast.id)
        assert copy(cast.id) == 1
    write_entries(acme.id, 1)
    sign(acme.id)
    assert (copy(acme.id), copy(acme.id)) == (1, 0)
    assert (lines(acme.id), lines(globex.id)) == ([2, 3], [2])
    assert {c["organization_id"] for c in kept_checkpoints(acme.id)} == {str(acme.id)}


def test_a_place_that_was_away_gets_what_it_missed(
    acme: Cast, settings: Any, tmp_path: Path
) -> None:
    home = settings.AUDIT_EXPORT_DIR
    settings.AUDIT_EXPORT_DIR = tmp_path / "file" / "below"
    (tmp_path / "file").write_text("no directory")
    for _ in range(2):
        write_entries(acme.id, 1)
        sign(acme.id)
        tasks.copy(str(acme.id))  # says so in the log and goes on
    settings.AUDIT_EXPORT_DIR = home
    tasks.copy(str(acme.id))
    assert lines(acme.id) == [1, 2]


def test_a_line_that_a_crash_cut_off_is_written_again(acme: Cast) -> None:
    write_entries(acme.id, 1)
    sign(acme.id)
    copy(acme.id)
    with path_of(acme.id).open("ab") as file:
        file.write(b'{"kind":"checkpoint","seq')
    write_entries(acme.id, 1)
    sign(acme.id)
    assert copy(acme.id) == 1
    assert lines(acme.id) == [1, 2]
    assert json.loads(path_of(acme.id).read_text().splitlines()[-1])["sequence"] == 2


@pytest.mark.django_db(transaction=True)
def test_the_whole_chain_is_checked_step_by_step(
    acme: Cast, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_service, "SEGMENT", 3)
    monkeypatch.setattr("apps.audit.services.verification.STEP", 3)
    write_entries(acme.id, 8)
    sign(acme.id)
    copy(acme.id)
    with tenant(acme.id):
        verify_chain(alice)
        verify_chain(alice)  # under way already: nothing more is asked for
    for _ in range(4):
        tasks.verify(str(acme.id))
    with tenant(acme.id):
        state = AuditVerification.objects.for_org(acme.id).get()
        asked = AuditEntry.objects.for_org(acme.id).filter(action="audit.verify_chain").count()
    assert (state.sequence, state.position, state.broken_sequence, asked) == (9, None, None, 1)
    assert state.whole_time is not None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("tampering", "named"),
    [
        ("UPDATE audit_entry SET action = 'x.y' WHERE sequence = 2", 2),
        ("DELETE FROM audit_entry WHERE sequence = 5", 5),
        ("DELETE FROM audit_entry WHERE sequence <= 3", 1),
        ("DELETE FROM audit_entry WHERE sequence >= 7", 7),
        ("DELETE FROM audit_checkpoint WHERE sequence = 3", 3),
        ("UPDATE audit_checkpoint SET signature = sha256('x') || sha256('y')", 3),
    ],
)
def test_the_check_names_what_it_finds(
    acme: Cast, alice: Actor, tampering: str, named: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_service, "SEGMENT", 3)
    write_entries(acme.id, 8)
    sign(acme.id)
    copy(acme.id)
    with intruder(acme.id) as sql:
        assert sql.execute(tampering).rowcount > 0
    with tenant(acme.id):
        verify_chain(alice)
        state = verify_some(system_actor(acme.id))
    assert state.broken_sequence == named
    assert audit("verify", "--organization", "acme")[0] == 1
    assert f"BROKEN at {named}:" in audit("verify")[1]


@pytest.mark.usefixtures("in_acme")
def test_only_auditors_have_the_chain_checked(alice: Actor, bob: Actor) -> None:
    with pytest.raises(PermissionDenied):
        verify_chain(bob)
    verify_chain(alice)


@pytest.mark.django_db(transaction=True)
def test_pruning_deletes_whole_segments_and_says_so(
    acme: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_service, "SEGMENT", 4)
    write_entries(acme.id, 10)
    sign(acme.id)
    write_entries(acme.id, 3)
    with tenant(acme.id):
        times = dict(AuditEntry.objects.for_org(acme.id).values_list("sequence", "time"))
    actor = system_actor(acme.id)
    with as_owner(settings), tenant(acme.id):
        with pytest.raises(NothingToPrune):
            prune_entries(actor, before=times[4])  # the segment's last entry is not older
        assert prune_entries(actor, before=times[7]).sequence == 4  # in the middle of a segment
    with tenant(acme.id):
        left = AuditEntry.objects.for_org(acme.id).order_by("sequence")
        assert [e.sequence for e in left] == list(range(5, 15))
        assert left.last().action == "audit.prune_entries"
        assert left.last().changes["through"] == 4
    assert audit("verify", "--organization", "acme")[0] == 0
    sign(acme.id)
    with as_owner(settings), tenant(acme.id):
        late = clock.now() + timedelta(seconds=1)
        assert prune_entries(actor, before=late).sequence == 14  # what is unsigned would stay
    assert audit("verify", "--organization", "acme")[0] == 0


@pytest.mark.django_db(transaction=True)
def test_deleting_a_segment_without_saying_so_is_found(
    acme: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_service, "SEGMENT", 4)
    write_entries(acme.id, 10)
    sign(acme.id)
    with intruder(acme.id) as sql:
        sql.execute("DELETE FROM audit_entry WHERE sequence <= 4")
    code, said = audit("verify")
    assert code == 1
    assert "entries 1 to 4 are missing, and no entry says that they were pruned" in said


@pytest.mark.django_db(transaction=True)
def test_the_application_role_cannot_prune(acme: Cast) -> None:
    write_entries(acme.id, 1)
    sign(acme.id)
    with pytest.raises(DatabaseError, match="permission denied"), tenant(acme.id):
        prune_entries(system_actor(acme.id), before=clock.now() + timedelta(days=1))


@pytest.mark.django_db(transaction=True)
def test_the_command_signs_copies_and_verifies(acme: Cast, globex: Cast) -> None:
    write_entries(acme.id, 3)
    code, said = audit("checkpoint")
    assert (code, "acme: 1 signed, the newest at 3; 1 copied" in said) == (0, True)
    code, said = audit("verify")
    assert "acme: ok, 3 entries up to 3, 1 checkpoints, signed up to 3" in said
    assert "globex: ok, 0 entries" in said
    write_entries(acme.id, 2)
    assert "acme: ok, 2 entries up to 5" in audit("verify", "--since-checkpoint")[1]

"""S67: what was written stays written, and an outsider can check it.

Given the application's database role, when UPDATE, DELETE or TRUNCATE on audit is tried (also
through the admin), then it is refused; an offline verifier finds any edited, reordered, inserted or
deleted row and names it.
"""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.db import DatabaseError, connection, transaction
from django.test import Client

from apps.audit.domain import offline_verifier
from apps.audit.domain.chain import GENESIS, entry_hash
from apps.audit.models import AuditCheckpoint, AuditEntry, AuditHead
from apps.audit.services import checkpoints as signing
from apps.audit.services.checkpoints import create_checkpoints
from apps.audit.services.second_place import copy_checkpoints, path_of
from apps.core.actors import system_actor
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.web.admin_site import load_pages
from tests.audit.support import audit, own_places, write_entries
from tests.factories import Cast

Lines = list[dict[str, Any]]
STATEMENTS = [
    f"{change} {table}{rest}"
    for table in ("audit_entry", "audit_checkpoint")
    for change, rest in (
        ("UPDATE", " SET sequence = sequence"),
        ("DELETE FROM", ""),
        ("TRUNCATE", ""),
        ("TRUNCATE", " CASCADE"),
        ("DROP TABLE", ""),
        ("ALTER TABLE", " DISABLE ROW LEVEL SECURITY"),
    )
]


@pytest.fixture(autouse=True)
def _places(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_places(settings, tmp_path)
    monkeypatch.setattr(signing, "SEGMENT", 8)


@pytest.fixture
def signed(acme: Cast) -> Cast:
    """Acme with 20 entries, 19 of them under three checkpoints, which were copied."""
    write_entries(acme.id, 19)
    actor = system_actor(acme.id)
    with tenant(acme.id):
        create_checkpoints(actor)
        copy_checkpoints(actor)
    write_entries(acme.id, 1)
    return acme


@pytest.fixture
def lines(signed: Cast, tmp_path: Path) -> Lines:
    """What `fleetd audit export` wrote."""
    output = tmp_path / "export.ndjson"
    assert audit("export", "--organization", "acme", "--output", str(output))[0] == 0
    return [json.loads(line) for line in output.read_text().splitlines()]


@pytest.fixture
def verify(tmp_path: Path, signed: Cast) -> Callable[..., tuple[int, str]]:
    """Runs the shipped file alone, in an interpreter that sees nothing of ours."""
    program = tmp_path / "fleetd-audit-verify.py"
    program.write_bytes(Path(offline_verifier.__file__).read_bytes())

    def run(lines: Lines, *options: str, kept: bool = True) -> tuple[int, str]:
        export = tmp_path / "checked.ndjson"
        export.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        place = ["--checkpoints", str(path_of(signed.id))] if kept else []
        command = [sys.executable, "-I", str(program), str(export), *place, *options]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd="/", env={}, check=False, timeout=30
        )
        assert done.stderr == "", done.stderr
        return done.returncode, done.stdout

    return run


@pytest.mark.parametrize("statement", STATEMENTS)
def test_s67_the_application_cannot_rewrite(signed: Cast, statement: str) -> None:
    with (
        pytest.raises(DatabaseError, match=r"permission denied|must be owner"),
        transaction.atomic(),
        tenant(signed.id),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_s67_the_admin_cannot_rewrite(signed: Cast, alice_member: Membership) -> None:
    load_pages()
    client = Client()
    client.force_login(
        alice_member.user, backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    for model in (AuditEntry, AuditHead, AuditCheckpoint):
        assert model in admin.site._registry, f"{model.__name__} has no page"
        with tenant(signed.id):
            row = model.objects.for_org(signed.id).first()
            before = str(model.objects.for_org(signed.id).filter(pk=row.pk).values().get())
        base = f"/admin/audit/{model._meta.model_name}/"
        values = {"action": "delete_selected", "_selected_action": str(row.pk), "post": "yes"}
        answers = [
            client.post(f"{base}{row.pk}/change/", {"sequence": "99", "actor_label": "mallory"}),
            client.post(f"{base}{row.pk}/delete/", {"post": "yes"}),
            client.post(f"{base}add/", {"sequence": "99"}),
            client.post(base, values),
        ]
        assert {a.status_code for a in answers[:3]} <= {302, 403}
        assert answers[3].status_code in (200, 302, 403)  # the list, which knows no such action
        with tenant(signed.id):
            now = model.objects.for_org(signed.id).filter(pk=row.pk).values()
            if model is AuditHead:  # which refusals move
                assert now.get()["sequence"] != 99
            else:
                assert str(now.get()) == before


def test_s67_the_verifier_accepts_what_was_written(lines: Lines, verify: Any) -> None:
    code, said = verify(lines)
    assert (code, said.splitlines()[0]) == (
        0,
        "ok: 20 entries, 1 to 20; 3 checkpoints, signed up to 19; second place compared",
    )
    key_id = next(line["key_id"] for line in lines if line["kind"] == "checkpoint")
    assert verify(lines, "--key-id", key_id)[0] == 0
    code, said = verify(lines, "--key-id", "0" * 16)
    assert (code, "unknown key" in said) == (1, True)


def entry(lines: Lines, sequence: int) -> dict[str, Any]:
    return next(x for x in lines if x["kind"] == "entry" and x["sequence"] == sequence)


def rehash(lines: Lines, *, since: int = 1) -> None:
    """Makes the chain fit again from an entry on, as an intruder would."""
    previous = GENESIS
    for line in (x for x in lines if x["kind"] == "entry"):
        if line["sequence"] >= since:
            fields = {k: v for k, v in line.items() if k not in ("kind", "hash", "previous_hash")}
            line["previous_hash"] = previous.hex()
            line["hash"] = entry_hash(previous, fields).hex()
        previous = bytes.fromhex(line["hash"])


EDITED = (
    "action", "actor_id", "actor_kind", "actor_label", "address", "changes", "id", "object_id",
    "object_label", "object_type", "organization_id", "request_id", "result", "source", "time",
)  # fmt: skip


def test_s67_every_field_is_covered(lines: Lines) -> None:
    hashes = {"kind", "sequence", "hash", "previous_hash"}
    assert {*entry(lines, 5)} - hashes == {*EDITED}


@pytest.mark.parametrize("field", EDITED)
def test_s67_an_edited_entry_is_named(lines: Lines, verify: Any, field: str) -> None:
    entry(lines, 5)[field] = {"n": 0} if field == "changes" else "mallory"
    code, said = verify(lines)
    assert code == 1
    assert said.startswith("BROKEN at 5: "), said


def test_s67_an_entry_rewritten_with_its_hash_is_named(lines: Lines, verify: Any) -> None:
    target = entry(lines, 5)
    target["actor_label"] = "mallory"
    fields = {k: v for k, v in target.items() if k not in ("kind", "hash", "previous_hash")}
    target["hash"] = entry_hash(bytes.fromhex(target["previous_hash"]), fields).hex()
    assert verify(lines)[1].startswith("BROKEN at 5: entry 5 was rewritten")


def test_s67_a_chain_rewritten_from_an_entry_on_does_not_fit_what_was_signed(
    lines: Lines, verify: Any
) -> None:
    entry(lines, 10)["actor_label"] = "mallory"
    rehash(lines, since=10)
    code, said = verify(lines)
    assert code == 1
    assert "BROKEN at 9: entries 9 to 16 are not those that were signed" in said
    assert "BROKEN at 17: entries 17 to 19 are not those that were signed" in said


def test_s67_reordered_entries_are_named(lines: Lines, verify: Any) -> None:
    one, two = lines.index(entry(lines, 5)), lines.index(entry(lines, 6))
    lines[one], lines[two] = lines[two], lines[one]
    code, said = verify(lines)
    assert (code, "BROKEN at 5: entry 5 stands after entry 6" in said) == (1, True)


def test_s67_entries_that_changed_places_are_named(lines: Lines, verify: Any) -> None:
    five, six = entry(lines, 5), entry(lines, 6)
    five["sequence"], six["sequence"] = 6, 5
    code, said = verify(lines)
    assert (code, "BROKEN at 5:" in said, "BROKEN at 6:" in said) == (1, True, True)


def test_s67_an_inserted_entry_is_named(lines: Lines, verify: Any) -> None:
    lines.insert(lines.index(entry(lines, 5)) + 1, {**entry(lines, 5), "actor_label": "mallory"})
    code, said = verify(lines)
    assert (code, "BROKEN at 5: entry 5 stands after entry 5: it was inserted" in said) == (1, True)


@pytest.mark.parametrize("sequence", [1, 5, 8, 19])
def test_s67_a_deleted_entry_is_named(lines: Lines, verify: Any, sequence: int) -> None:
    lines.remove(entry(lines, sequence))
    code, said = verify(lines)
    assert code == 1
    missing = f"entry {sequence} is missing" if sequence > 1 else "entries 1 to 1 are missing"
    assert f"BROKEN at {sequence}: {missing}" in said, said


def test_s67_a_trail_cut_off_is_named(lines: Lines, verify: Any) -> None:
    """Even where checkpoints and counts were made to fit: the second place knows."""
    cut = [x for x in lines if x.get("sequence", 0) <= 12]
    cut[0]["head_sequence"] = 12
    cut[-1]["entries"] = 12
    cut[-1]["checkpoints"] = 1
    code, said = verify(cut)
    assert (code, "BROKEN at 13: entries 13 to 19 are missing" in said) == (1, True)
    assert verify(cut, kept=False)[0] == 0  # which is what the second place is for


def test_s67_a_cut_export_file_is_found_without_the_second_place(lines: Lines, verify: Any) -> None:
    assert verify(lines[:-2], kept=False)[0] == 1
    assert verify([x for x in lines if x.get("sequence") != 20], kept=False)[0] == 1


def test_s67_forged_checkpoints_are_found(lines: Lines, verify: Any) -> None:
    forged = json.loads(json.dumps(lines))
    checkpoint = next(x for x in forged if x["kind"] == "checkpoint")
    checkpoint["head_hash"] = "00" * 32
    assert "wrong signature" in verify(forged, kept=False)[1]
    gone = [x for x in lines if not (x["kind"] == "checkpoint" and x["sequence"] == 8)]
    gone[-1]["checkpoints"] = 2
    assert "BROKEN at 8: the checkpoint at this entry is in the second place" in verify(gone)[1]
    assert "continues one at 8" in verify(gone, kept=False)[1]


def test_s67_no_single_change_of_the_file_goes_unnoticed(lines: Lines, verify: Any) -> None:
    """40 random edits, each of one character of one entry or checkpoint."""
    chance = random.Random(67)
    body = [n for n, line in enumerate(lines) if line["kind"] in ("entry", "checkpoint")]
    for _ in range(40):
        number = chance.choice(body)
        text = json.dumps(lines[number])
        at = chance.choice([i for i, c in enumerate(text) if c.isalnum()])
        changed = text[:at] + chance.choice("xyz789".replace(text[at], "")) + text[at + 1 :]
        try:
            edited = [*lines[:number], json.loads(changed), *lines[number + 1 :]]
        except ValueError:
            continue
        if edited[number] == lines[number]:
            continue  # a float or escape that reads the same
        assert verify(edited)[0] == 1, changed


def test_s67_what_is_no_export_is_said(verify: Any, tmp_path: Path) -> None:
    program = Path(offline_verifier.__file__)
    (tmp_path / "empty").write_text("")
    done = subprocess.run(
        [sys.executable, "-I", str(program), str(tmp_path / "empty")],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode, "no header" in done.stderr) == (2, True)


def test_s67_the_verifier_needs_nothing_of_ours(verify: Any) -> None:
    source = Path(offline_verifier.__file__).read_text()
    assert "import apps" not in source
    assert "from apps" not in source
    assert "from fleetd" not in source


def test_s67_the_verifier_is_downloaded_from_the_page(alice_member: Membership) -> None:
    client = Client()
    client.force_login(
        alice_member.user, backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    answer = client.get("/audit/verifier")
    assert answer.content == Path(offline_verifier.__file__).read_bytes()
    assert "attachment" in answer["Content-Disposition"]

"""The log of a rollout gives its state; the command says so, or fails."""

import io
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction

from apps.core.actors import Actor
from apps.updates.models import Phase, Rollout, RolloutEvent
from apps.updates.selectors.rollouts import check_log
from apps.updates.services.rollouts import cancel_rollout, pause_rollout, resume_rollout
from tests.updates.conftest import Fleet


def replay(rollout_id: object, **options: object) -> str:
    out = io.StringIO()
    call_command("replay_rollout", str(rollout_id), stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def rollout(fleet: Fleet, alice: Actor) -> Rollout:
    """One with a past: paused, resumed, promoted, failed and cancelled."""
    made = fleet.start(percents=(25, 100))
    pause_rollout(alice, made.id)
    resume_rollout(alice, made.id)
    fleet.finish(fleet.claim())
    fleet.advance(made)
    offers = fleet.claim()
    fleet.finish(offers[:2])
    fleet.advance(made)
    fleet.finish(offers[2:3], "failed")
    fleet.advance(made)
    cancel_rollout(alice, made.id)
    fleet.advance(made)
    return made


def test_replaying_the_log_gives_the_stored_state(rollout: Rollout, alice: Actor) -> None:
    check = check_log(alice, rollout.id)
    assert check.differences == ()
    assert check.replayed_hash == check.stored_hash
    assert check.status.state == "cancelled"
    assert f"stored    {check.stored_hash}" in replay(rollout.id)


def test_replay_travels_in_time(rollout: Rollout) -> None:
    assert "state     running, phase 1" in replay(rollout.id, until=3)
    assert "state     paused, phase 1" in replay(rollout.id, until=4)
    assert "state     draft, phase 0" in replay(rollout.id, until=1)


@pytest.mark.parametrize(
    ("model", "change", "named"),
    [
        (Rollout, {"state": "completed"}, "state"),
        (Rollout, {"open_phase": 0}, "open_phase"),
        (Rollout, {"state_hash": "0" * 64}, "state_hash"),
        (Phase, {"gate_reason": "all is well"}, "phase"),
        (Phase, {"state": "promoted"}, "phase"),
    ],
)
def test_rows_that_were_changed_behind_the_logs_back_are_found(
    rollout: Rollout, model: type, change: dict, named: str
) -> None:
    model.objects.for_org(rollout.organization_id).update(**change)
    with pytest.raises(CommandError, match=named):
        replay(rollout.id)


def test_the_application_cannot_change_the_log(rollout: Rollout) -> None:
    for statement in (
        "UPDATE updates_rollout_event SET type = 'x'",
        "DELETE FROM updates_rollout_event",
    ):
        with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert RolloutEvent.objects.for_org(rollout.organization_id).count() > 5


def test_an_unknown_rollout_is_said_to_be_unknown(acme: object) -> None:
    with pytest.raises(CommandError, match="no such rollout"):
        replay(uuid4())


def policy(folder: Path, text: str) -> Path:
    path = folder / "gate.yaml"
    path.write_text(text)
    return path


QUICK = "kind: sequential\nacceptable_rate: 0.05\nunacceptable_rate: 0.8\n"


def test_what_if_shows_where_other_gates_would_have_decided(
    rollout: Rollout, tmp_path: Path
) -> None:
    said = replay(rollout.id, policy=policy(tmp_path, QUICK))
    was, would = said.split("With these gates\n")
    assert "phase 1 promoted at event" in was
    assert "phase 2 halted at event" in was
    assert would.count("promoted at event") == 1
    assert "phase 2 undecided when the log ends: 2 of 3 succeeded, 1 failed" in would
    assert "halted" not in would


def test_what_if_says_what_nobody_can_know(rollout: Rollout, tmp_path: Path) -> None:
    said = replay(rollout.id, policy=policy(tmp_path, "- {}\n- kind: sequential\n"))
    assert "phase 2 undecided when the log ends: 2 of 3 succeeded, 1 failed" in said
    said = replay(rollout.id, policy=policy(tmp_path, "{}"), until=5)
    assert "As it was\n  undecided\n" in said
    assert "phase 1 undecided when the log ends: 0 of 2 succeeded, 2 to go" in said


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("kind: brave", "kind must be one of"),
        ("colour: red", "colour is not known"),
        ("alpha: [", "cannot be read"),
        ("just words", "neither a gate"),
        ("[{}, {}, {}]", "There are 2 phases"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(
    rollout: Rollout, tmp_path: Path, text: str, named: str
) -> None:
    with pytest.raises(CommandError, match=named):
        replay(rollout.id, policy=policy(tmp_path, text))


def test_a_policy_file_that_is_missing_is_named(rollout: Rollout, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"gone\.yaml cannot be read"):
        replay(rollout.id, policy=tmp_path / "gone.yaml")

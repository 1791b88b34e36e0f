"""One sentence that says what a rollout is doing."""

from dataclasses import dataclass
from datetime import datetime

import pytest

from apps.updates.domain import engine
from apps.updates.domain.engine import LogEvent, RolloutStatus, replay
from apps.updates.domain.gate import Counts
from apps.updates.domain.gates import GateKind, GatePolicy
from apps.updates.domain.verdict import Standing, summary, verdict
from tests.updates.domain.test_engine import START, created, started


@dataclass
class Seen:
    """A rollout as `verdict` takes it."""

    state: RolloutStatus
    numbers: tuple[Counts, ...]
    start_at: datetime | None = None

    def status(self) -> RolloutStatus:
        return self.state

    def counts(self) -> tuple[Counts, ...]:
        return self.numbers


NOW = (Counts(waiting=1, active=2, succeeded=1), Counts(waiting=12))
RUNNING = started((4, 12))
PASSED = LogEvent(engine.PHASE_PROMOTED, START, {"index": 0, "reason": "ann passed it"})
FAILED_GATE = LogEvent(
    engine.PHASE_HALTED,
    START,
    {"index": 0, "reason": "0 of 4 succeeded, 1 failed: no failure is accepted"},
)
HALTED = LogEvent(engine.HALTED, START, {"index": 0, "reason": "no"})


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ([created()], "Draft: nothing happens until it is started."),
        (
            RUNNING,
            "Running in phase 1 of 2: 1 of 4 succeeded, 3 to go"
            " (2 at work, 1 waiting for their devices).",
        ),
        (
            [*RUNNING, LogEvent(engine.PAUSED, START)],
            "Paused in phase 1 of 2: 1 of 4 succeeded, 3 to go"
            " (2 at work, 1 waiting for their devices).",
        ),
        (
            [*RUNNING, LogEvent(engine.CANCELLED, START)],
            "Cancelled: 1 of 16 succeeded, 2 still finishing.",
        ),
        ([created(), LogEvent(engine.CANCELLED, START)], "Cancelled before it was started."),
        (
            [*RUNNING, FAILED_GATE, HALTED],
            "Halted in phase 1 of 2: 0 of 4 succeeded, 1 failed: no failure is accepted;"
            " by now 1 of 16 succeeded, 2 devices still at work.",
        ),
        (
            [*RUNNING, PASSED],
            "Running after phase 1 of 2: phase 2 opens within seconds.",
        ),
        (
            [*RUNNING, PASSED, LogEvent(engine.PAUSED, START)],
            "Paused after phase 1 of 2: phase 2 opens once it is resumed.",
        ),
    ],
)
def test_the_verdict_says_what_it_waits_for(events: list[LogEvent], sentence: str) -> None:
    assert verdict(Seen(replay(events), NOW), START) == sentence


def test_a_gate_that_waits_for_a_person_says_for_what() -> None:
    plan, *rest = RUNNING
    gates = [GatePolicy(kind=GateKind.SEQUENTIAL).dump()] * 2
    state = replay([LogEvent(plan.type, plan.time, {**plan.data, "gates": gates}), *rest])
    sentence = verdict(Seen(state, (Counts(succeeded=4), Counts(waiting=12))), START)
    assert "a person must decide: pass the gate by hand, or halt the rollout" in sentence


def test_every_kind_of_log_entry_reads_as_a_sentence() -> None:
    data = {"index": 0, "reason": "1 of 1 succeeded", "sizes": [2]}
    data |= {"phases": {"0": {"active": 2}}, "joined": {"0": 1}}
    kinds = [v for k, v in vars(engine).items() if k.isupper() and isinstance(v, str)]
    sentences = {summary(kind, data) for kind in kinds}
    assert len(sentences) == len(kinds)
    assert all(s[0].isupper() and s.endswith(".") for s in sentences)
    assert summary(engine.COUNTED, data) == "Phase 1: 2 at work."


@pytest.mark.parametrize(
    ("events", "standing", "words"),
    [
        (RUNNING, Standing(offline=3), "waiting for their devices; 3 devices are offline now)."),
        ([*RUNNING, HALTED], Standing(offline=1), "; 2 devices still at work."),
        (RUNNING, Standing(is_unsigned=True), ". In insecure trial mode: nobody has signed"),
    ],
)
def test_the_verdict_names_who_is_offline_and_what_nobody_signed(
    events: list[LogEvent], standing: Standing, words: str
) -> None:
    assert words in verdict(Seen(replay(events), NOW), START, standing)

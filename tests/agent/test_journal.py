"""The journal forgets nothing that the platform has not stored."""

import os
import resource
from pathlib import Path

import pytest
from fleetd_agent.journal import OUTBOX_LIMIT, Active, FileJournal, State
from fleetd_agent.messages import TERMINAL_STEPS, Component, Hook, Offer, Outcome, Report, Step
from hypothesis import given
from hypothesis import strategies as st

steps = st.sampled_from(list(Step))
reports = st.builds(
    Report,
    deployment_id=st.sampled_from(["a", "b", "c"]),
    sequence=st.integers(1, 50),
    step=steps,
    progress_percent=st.none() | st.integers(0, 100),
    message=st.text(),
)


@given(st.lists(reports, max_size=30), st.text(), st.none() | st.integers(0, 3))
def test_what_was_saved_is_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, spooled: list[Report], text: str, index: int | None
) -> None:
    hook = Hook((text, "x"), 3)
    component = Component(text, "1", "binary", "00", 1, text, before=hook)
    active = Active(
        Offer("id", text, "1", (component,)),
        records=[None, {"key": text}],
        outcome=Outcome("code", text),
        last=spooled[-1] if spooled else None,
    )
    state = State(active=None if index is None else active, outbox=spooled)
    journal = FileJournal(tmp_path_factory.mktemp("journal"))
    journal.save(state)
    assert journal.load() == state


@given(st.lists(reports, max_size=200))
def test_the_last_word_on_each_deployment_stays_in_the_spool(spooled: list[Report]) -> None:
    state = State()
    highest: dict[str, Report] = {}
    for report in spooled:
        known = highest.get(report.deployment_id)
        if known is None or report.sequence > known.sequence:
            state.put(report)
            highest[report.deployment_id] = report
    for report in highest.values():
        assert report in state.outbox


def test_a_full_spool_gives_up_unfinished_steps_first() -> None:
    state = State()
    for number in range(OUTBOX_LIMIT + 200):
        step = Step.SUCCEEDED if number % 2 else Step.INSTALLING
        state.put(Report(f"deployment-{number}", 1, step))
    assert len(state.outbox) == OUTBOX_LIMIT
    ends = sum(1 for report in state.outbox if report.step in TERMINAL_STEPS)
    assert ends == (OUTBOX_LIMIT + 200) // 2


def test_an_acknowledged_report_is_forgotten_with_its_predecessors() -> None:
    state = State()
    for sequence, step in enumerate((Step.DOWNLOADING, Step.INSTALLING, Step.VERIFYING), 1):
        state.put(Report("a", sequence, step))
    assert state.acknowledge("a", 2)
    assert [r.sequence for r in state.outbox] == [3]


def test_an_unreadable_journal_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "journal.json").write_bytes(b"{broken")
    assert FileJournal(tmp_path).load() == State()
    assert (tmp_path / "journal.broken.json").read_bytes() == b"{broken"


def test_a_failed_write_leaves_the_old_journal_whole(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:  # the limit on the size of files holds for this process only
        journal = FileJournal(tmp_path)
        journal.save(State())
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        try:
            journal.save(State(installed={"app": "x" * 4000}))
        except OSError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert FileJournal(tmp_path).load() == State()
    assert [p.name for p in tmp_path.iterdir()] == ["journal.json"]

"""What a report does: repeated, late, backwards, or one that skips steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.updates.domain.reports import Outcome, Standing, is_reportable, take_report
from apps.updates.domain.states import FINAL_DEPLOYMENT_STATES, can_deployment_become
from apps.updates.domain.states import DeploymentState as S

REPORTABLE = st.sampled_from([s for s in S if is_reportable(s)])


@pytest.mark.parametrize(
    ("state", "last", "sequence", "step", "outcome", "after"),
    [
        (S.OFFERED, 0, 1, S.DOWNLOADING, "stored", S.DOWNLOADING),
        (S.DOWNLOADING, 1, 2, S.DOWNLOADING, "stored", S.DOWNLOADING),
        (S.OFFERED, 0, 3, S.INSTALLING, "stored", S.INSTALLING),
        (S.INSTALLING, 3, 3, S.INSTALLING, "duplicate", S.INSTALLING),
        (S.INSTALLING, 3, 2, S.DOWNLOADED, "ignored", S.INSTALLING),
        (S.INSTALLING, 3, 4, S.DOWNLOADING, "ignored", S.INSTALLING),
        (S.WAITING, 0, 1, S.SUCCEEDED, "ignored", S.WAITING),
        (S.SUCCEEDED, 5, 6, S.FAILED, "ignored", S.SUCCEEDED),
        (S.SUCCEEDED, 5, 5, S.SUCCEEDED, "duplicate", S.SUCCEEDED),
        (S.CANCELLED, 2, 3, S.SUCCEEDED, "ignored", S.CANCELLED),
        (S.TIMED_OUT, 2, 3, S.SUCCEEDED, "reconciled", S.TIMED_OUT),
        (S.TIMED_OUT, 2, 3, S.INSTALLING, "ignored", S.TIMED_OUT),
        (S.OFFERED, 0, 1, S.CANCELLED, "ignored", S.OFFERED),
        (S.OFFERED, 0, 1, S.TIMED_OUT, "ignored", S.OFFERED),
        (S.OFFERED, 0, 1, S.OFFERED, "ignored", S.OFFERED),
    ],
)
def test_a_report_has_the_expected_effect(
    state: S, last: int, sequence: int, step: S, outcome: str, after: S
) -> None:
    result, standing = take_report(Standing(state, last), sequence, step)
    assert (result.value, standing.state) == (outcome, after)


@given(st.lists(st.tuples(st.integers(1, 8), REPORTABLE), max_size=30))
def test_any_stream_of_reports_walks_only_along_the_table(reports: list[tuple[int, S]]) -> None:
    standing = Standing(S.OFFERED, 0)
    for sequence, step in reports:
        outcome, after = take_report(standing, sequence, step)
        assert after.state == standing.state or can_deployment_become(standing.state, after.state)
        assert after.report_sequence >= standing.report_sequence
        if standing.state in FINAL_DEPLOYMENT_STATES:
            assert after.state == standing.state
        again = take_report(after, sequence, step)
        assert again[1] == after
        if outcome is Outcome.STORED:
            assert again[0] is Outcome.DUPLICATE
        standing = after

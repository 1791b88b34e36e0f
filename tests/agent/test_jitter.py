"""Devices never come back all at once."""

import random
from statistics import fmean

from fleetd_agent.backoff import BASE_SECONDS, CAP_SECONDS, after_server_hint, full_jitter
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(0, 10_000), st.integers())
def test_a_wait_is_between_nothing_and_the_doubled_base_up_to_the_cap(
    attempt: int, seed: int
) -> None:
    seconds = full_jitter(attempt, rng=random.Random(seed))
    assert 0 <= seconds <= CAP_SECONDS
    assert seconds <= BASE_SECONDS * 2 ** min(attempt, 100)


@given(st.floats(0, 86_400), st.integers())
def test_what_the_server_asked_for_is_never_undercut(seconds: float, seed: int) -> None:
    wait = after_server_hint(seconds, random.Random(seed))
    assert seconds <= wait <= 1.5 * seconds


def test_a_thousand_devices_spread_over_the_whole_interval() -> None:
    rng = random.Random(7)
    waits = [full_jitter(10, rng=rng) for _ in range(1000)]
    buckets = [sum(1 for w in waits if i <= w < i + 1) for i in range(int(CAP_SECONDS))]
    assert max(buckets) < 40
    assert abs(fmean(waits) - CAP_SECONDS / 2) < 2

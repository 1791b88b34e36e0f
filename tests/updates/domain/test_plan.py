"""Phases, their sizes, and the plan's hash."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.updates.domain.plan import (
    order_key,
    phase_ends,
    phase_of,
    phase_sizes,
    plan_hash,
    simple_plan,
)
from apps.updates.domain.problems import BadPlan

PERCENTS = st.sets(st.integers(1, 99), max_size=19).map(lambda s: (*sorted(s), 100))


def test_no_phases_means_one_phase_of_all() -> None:
    assert [phase.percent for phase in simple_plan(()).phases] == [100]


@pytest.mark.parametrize(
    "percents",
    [(0, 100), (50,), (50, 50, 100), (60, 40, 100), (100, 100), (-5, 100), (5, 101), (True, 100)],
)
def test_percentages_that_do_not_rise_to_100_are_refused(percents: tuple[int, ...]) -> None:
    with pytest.raises(BadPlan):
        simple_plan(percents).checked()


def test_more_than_twenty_phases_are_refused() -> None:
    with pytest.raises(BadPlan):
        simple_plan((*range(1, 21), 100)).checked()


def test_a_demo_plan_has_the_expected_sizes() -> None:
    assert phase_sizes(200, simple_plan((5, 25, 50, 100)).phases) == (10, 40, 50, 100)


@given(st.integers(0, 100_000), PERCENTS)
def test_sizes_add_up_and_follow_the_places(total: int, percents: tuple[int, ...]) -> None:
    phases = simple_plan(percents).phases
    sizes, ends = phase_sizes(total, phases), phase_ends(total, phases)
    assert sum(sizes) == total
    assert min(sizes) >= 0
    assert total == 0 or sizes[0] > 0
    places = {0, total - 1, *ends, *(e - 1 for e in ends)} & set(range(total))
    for place in places:
        index = phase_of(place, ends)
        assert sum(sizes[:index]) <= place < sum(sizes[: index + 1])


def test_another_rollout_takes_devices_in_another_order() -> None:
    devices = [uuid.uuid4() for _ in range(50)]
    first, second = uuid.uuid4(), uuid.uuid4()
    by_first = sorted(devices, key=lambda d: order_key(d, first))
    assert by_first == sorted(reversed(devices), key=lambda d: order_key(d, first))
    assert by_first != sorted(devices, key=lambda d: order_key(d, second))


def test_the_plan_hash_does_not_depend_on_the_order_of_keys() -> None:
    assert plan_hash({"a": 1, "b": ["x"]}) == plan_hash({"b": ["x"], "a": 1})
    assert plan_hash({"a": 1}) != plan_hash({"a": 2})

"""A gate's policy is stored without loss, and refused where it contradicts itself."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.updates.domain.gates import (
    BadPolicy,
    Comparison,
    GateKind,
    GatePolicy,
    Metric,
    MetricCondition,
    OnExhausted,
    count_samples,
)

RATES = st.decimals("0.000001", "0.999999", places=6)
PAIRS = st.tuples(RATES, RATES).filter(lambda pair: pair[0] < pair[1])


@st.composite
def conditions(draw: st.DrawFn) -> MetricCondition:
    low, high = draw(PAIRS)
    return MetricCondition(
        draw(st.sampled_from(Metric)),
        draw(st.decimals(-1000, 1000, places=3)),
        draw(st.sampled_from(Comparison)),
        low,
        high,
    )


@st.composite
def policies(draw: st.DrawFn) -> GatePolicy:
    low, high = draw(PAIRS)
    return GatePolicy(
        kind=draw(st.sampled_from(GateKind)),
        acceptable_rate=low,
        unacceptable_rate=high,
        alpha=draw(st.decimals("0.001", "0.49", places=3)),
        beta=draw(st.decimals("0.001", "0.49", places=3)),
        minimum_devices=draw(st.integers(0, 1000)),
        minimum_soak_seconds=draw(st.integers(0, 86_400)),
        on_exhausted=draw(st.sampled_from(OnExhausted)),
        has_control=draw(st.booleans()),
        conditions=tuple(draw(st.lists(conditions(), max_size=3))),
    )


@given(policies())
def test_a_policy_survives_being_stored_as_json(policy: GatePolicy) -> None:
    stored = json.loads(json.dumps(policy.dump()))
    assert GatePolicy.restore(stored) == policy
    assert GatePolicy.restore(stored).dump() == stored


def test_rates_are_stored_as_the_shortest_text_and_never_as_floats() -> None:
    policy = GatePolicy.restore({"kind": "sequential", "acceptable_rate": 0.010, "alpha": "0.0500"})
    assert policy.dump()["acceptable_rate"] == "0.01"
    assert policy.dump()["alpha"] == "0.05"
    assert GatePolicy.restore({"alpha": "0.05"}).dump() == GatePolicy.restore({}).dump()


@pytest.mark.parametrize(
    ("dumped", "field"),
    [
        ({"acceptable_rate": "0.05", "unacceptable_rate": "0.05"}, "unacceptable_rate"),
        ({"acceptable_rate": "0.06", "unacceptable_rate": "0.05"}, "unacceptable_rate"),
        ({"acceptable_rate": "0"}, "acceptable_rate"),
        ({"unacceptable_rate": "1"}, "unacceptable_rate"),
        ({"acceptable_rate": "-0.01"}, "acceptable_rate"),
        ({"acceptable_rate": "NaN"}, "acceptable_rate"),
        ({"acceptable_rate": "1e-7"}, "acceptable_rate"),
        ({"acceptable_rate": "ten"}, "acceptable_rate"),
        ({"acceptable_rate": True}, "acceptable_rate"),
        ({"acceptable_rate": None}, "acceptable_rate"),
        ({"acceptable_rate": "1e999999999"}, "acceptable_rate"),
        ({"alpha": "0.5", "beta": "0.5"}, "beta"),
        ({"alpha": "0"}, "alpha"),
        ({"beta": "1"}, "beta"),
        ({"minimum_devices": -1}, "minimum_devices"),
        ({"minimum_devices": 2.5}, "minimum_devices"),
        ({"minimum_soak_seconds": 10**9}, "minimum_soak_seconds"),
        ({"on_exhausted": "promote"}, "on_exhausted"),
        ({"has_control": 1}, "has_control"),
        ({"kind": ["strict"]}, "kind"),
        ({"treshold": 5}, "treshold"),
        ({"conditions": "cpu_ratio"}, "conditions"),
        ({"conditions": [3]}, "conditions.0"),
        ({"conditions": [{"metric": "cpu_ratio"}]}, "conditions.0.limit"),
        ({"conditions": [{"metric": "mood", "limit": 1}]}, "conditions.0.metric"),
        ({"conditions": [{"metric": "cpu_ratio", "limit": "inf"}]}, "conditions.0.limit"),
        (
            {"conditions": [{"metric": "cpu_ratio", "limit": 1, "acceptable_rate": "0.5"}]},
            "conditions.0.unacceptable_rate",
        ),
        ({"conditions": [{"metric": "cpu_ratio", "limit": 1}] * 11}, "conditions"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_with_the_field(
    dumped: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadPolicy) as refused:
        GatePolicy.restore(dumped)
    assert refused.value.field == field
    assert refused.value.message


def test_several_tests_share_the_chance_of_a_false_halt() -> None:
    condition = MetricCondition(Metric.CPU_RATIO, Decimal("0.9"))
    policy = GatePolicy(kind=GateKind.SEQUENTIAL, has_control=True, conditions=(condition,) * 2)
    assert policy.tests == 4
    assert float(policy.alpha_each) == pytest.approx(0.0125)


def test_devices_become_bad_or_good_by_the_limit() -> None:
    above = MetricCondition(Metric.TEMPERATURE_CELSIUS, Decimal(80))
    assert count_samples(above, [(80.0, None), (80.1, None), (float("nan"), None)]).failed == 1
    rise = MetricCondition(Metric.MEMORY_RATIO, Decimal("0.1"), Comparison.RISEN_BY)
    arm = count_samples(rise, [(0.5, 0.45), (0.7, 0.5), (0.9, None), (0.2, 0.9)])
    assert (arm.succeeded, arm.failed) == (2, 1)

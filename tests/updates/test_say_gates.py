"""Gates as the doors say them: everything that a gate can hold goes in and comes out."""

from decimal import Decimal

import pytest

from apps.core.errors import InvalidRequest
from apps.updates.domain.gates import Comparison, GateKind, GatePolicy, Metric, MetricCondition
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.plans import plan_message, plan_of
from fleetd.pb.public.v1 import fleet_pb2 as pb

WATCHED = GatePolicy(
    GateKind.SEQUENTIAL,
    has_control=True,
    conditions=(
        MetricCondition(Metric.TEMPERATURE_CELSIUS, Decimal(80)),
        MetricCondition(Metric.CPU_RATIO, Decimal("0.25"), Comparison.RISEN_BY, Decimal("0.01")),
    ),
)


def test_conditions_and_control_come_back_as_they_were_said() -> None:
    plan = Plan((PhasePlan(10, gate=WATCHED), PhasePlan(100)))
    assert plan_of(plan_message(plan)).phases == plan.phases


def test_what_a_condition_leaves_out_has_its_default() -> None:
    condition = pb.MetricCondition(metric="disk_ratio", limit="0.9")
    gate = pb.GatePolicy(conditions=[condition])
    message = pb.RolloutPlan(phases=[pb.PhasePlan(percent=100, gate=gate)])
    assert plan_of(message).phases[0].gate.conditions == (
        MetricCondition(Metric.DISK_RATIO, Decimal("0.9")),
    )


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"metric": "reboots", "limit": "1"}, "metric"),
        ({"metric": "cpu_ratio"}, "limit"),
        ({"metric": "cpu_ratio", "limit": "much"}, "limit"),
        ({"metric": "cpu_ratio", "limit": "1", "comparison": "below"}, "comparison"),
        ({"metric": "cpu_ratio", "limit": "1", "acceptable_rate": "0.9"}, "unacceptable_rate"),
    ],
)
def test_a_condition_that_cannot_be_is_refused_by_its_place(
    values: dict[str, str], field: str
) -> None:
    gate = pb.GatePolicy(conditions=[pb.MetricCondition(**values)])
    with pytest.raises(InvalidRequest) as refused:
        plan_of(pb.RolloutPlan(phases=[pb.PhasePlan(percent=100, gate=gate)]))
    assert f"plan.phases.0.gate.conditions.0.{field}" in str(refused.value.fields)

"""Strategies: the phases of a rollout with their gates."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from apps.updates.domain.gates import (
    BadPolicy,
    Comparison,
    GateKind,
    GatePolicy,
    Metric,
    MetricCondition,
    OnExhausted,
)
from apps.updates.domain.manifest.checking import Item
from apps.updates.domain.manifest.manifest import DEFAULT_TIMEOUT_SECONDS
from apps.updates.domain.manifest.notes import Notes
from apps.updates.domain.plan import MAX_TIMEOUT_SECONDS, MIN_TIMEOUT_SECONDS, PhasePlan, Rate

DEFAULT_SHARE = (0, 25)
OUTCOMES = ("error-rate", "error_rate", "failure-rate", "failure_rate")
_STEP_FIELDS = (
    ("percent", "weight"),
    ("devices", "devices"),
    ("rate", "rate"),
    ("filter", "filter"),
)
_SIX = Decimal("0.000001")
_DECIMALS = {"acceptableRate": "acceptable_rate", "unacceptableRate": "unacceptable_rate"}


def phases_of(spec: Item, notes: Notes) -> tuple[PhasePlan, ...]:
    """The phases that `spec.strategy` says; limits for all of them are `share_of`'s."""
    strategy = spec.find("strategy")
    kind = strategy.get("type", "RollingUpdate") if strategy else "RollingUpdate"
    notes.keep("phases", strategy or spec)
    for name, wanted in (("canary", "Canary"), ("rollingUpdate", "RollingUpdate")):
        other = spec.find(f"strategy.{name}")
        if other and kind != wanted:
            notes.refuse(other, f"The type of the strategy is {kind}, not {wanted}.")
    if kind != "Canary":
        return (PhasePlan(100, name="Phase 1"),)
    canary = spec.find("strategy.canary")
    if canary is None:
        if strategy:
            notes.refuse(strategy, "A Canary needs `canary` with steps.")
        return (PhasePlan(100),)
    return _steps(canary, notes)


def share_of(spec: Item, notes: Notes) -> tuple[int, int]:
    """How many devices may be at work in a phase: a number, or a percentage of the target."""
    general = spec.find("rollout.maxUnavailable")
    rolling = spec.find("strategy.rollingUpdate.maxUnavailable")
    if general and rolling:
        notes.refuse(rolling, "This is said in `spec.rollout` already.")
    notes.keep("maximum_in_flight", general or rolling)
    found = general or rolling
    if found is not None:
        number, percent = found.value
        return int(number), int(percent)
    return (0, 0) if spec.find("strategy.canary") else DEFAULT_SHARE


def timeout_of(spec: Item, notes: Notes) -> int:
    """The longest time that one device may take."""
    item = spec.find("rollout.progressTimeout")
    if item is None:
        return DEFAULT_TIMEOUT_SECONDS
    if not MIN_TIMEOUT_SECONDS <= item.value <= MAX_TIMEOUT_SECONDS:
        notes.refuse(item, "A device gets 60 seconds to 7 days.")
    return int(item.value)


def _steps(canary: Item, notes: Notes) -> tuple[PhasePlan, ...]:
    notes.keep("phases", canary.find("steps") or canary)
    analysis = _analysed(canary, notes)
    items, phases = canary.each("steps"), []
    for place, item in enumerate(items):
        phase = _phase(f"phases.{place}", item, analysis, notes)
        needs_approval = place > 0 and bool(items[place - 1].get("pauseAfter"))
        phases.append(replace(phase, needs_approval=needs_approval))
    if items and items[-1].get("pauseAfter"):
        notes.refuse(items[-1].find("pauseAfter") or items[-1], "Nothing comes after this step.")
    return tuple(phases)


def _phase(field: str, item: Item, analysis: GatePolicy, notes: Notes) -> PhasePlan:
    notes.keep(field, item)
    for name, key in _STEP_FIELDS:
        notes.keep(f"{field}.{name}", item.find(key))
    notes.keep(f"{field}.gate.minimum_soak_seconds", item.find("duration"))
    if not any(item.find(key) for key in ("weight", "devices", "filter")):
        notes.refuse(item, "A step needs a weight, a number of devices, or a filter.")
    own = item.find("gate")
    notes.keep(f"{field}.gate", own)
    gate = gate_of(own) if own else analysis
    gate = replace(gate, minimum_soak_seconds=item.get("duration", 0))
    rate = item.find("rate")
    return PhasePlan(
        percent=item.get("weight", 0),
        devices=item.get("devices", 0),
        name=item.get("name", ""),
        gate=gate,
        rate=_rate(rate) if rate else None,
        maximum_in_flight=item.get("maxInFlight", 0),
        filter=item.get("filter", "").strip(),
    )


def _rate(item: Item) -> Rate:
    per_minute = item.get("perMinute", 1)
    return Rate(per_minute, item.get("growthPercent", 100), item.get("maximumPerMinute", 0))


def gate_of(item: Item) -> GatePolicy:
    """The gate that a step says; one with rates is sequential where it does not say its kind."""
    said: dict[str, Any] = {}
    for key, name in (*_DECIMALS.items(), ("alpha", "alpha"), ("beta", "beta")):
        if item.find(key):
            said[name] = item.get(key)
    kind = item.get("kind") or (GateKind.SEQUENTIAL if said else GateKind.STRICT)
    return GatePolicy(
        kind=GateKind(kind),
        minimum_devices=item.get("minimumDevices", 0),
        on_exhausted=OnExhausted(item.get("onExhausted", OnExhausted.HOLD)),
        has_control=item.get("control", False),
        conditions=_conditions(item),
        **said,
    )


def _conditions(item: Item) -> tuple[MetricCondition, ...]:
    return tuple(_condition(each) for each in item.each("conditions") if each.find("metric"))


def _condition(item: Item) -> MetricCondition:
    said = {name: item.get(key) for key, name in _DECIMALS.items() if item.find(key)}
    return MetricCondition(
        metric=Metric(item.get("metric")),
        limit=item.get("limit", Decimal(0)),
        comparison=Comparison(item.get("comparison", Comparison.ABOVE)),
        **said,
    )


def _analysed(canary: Item, notes: Notes) -> GatePolicy:
    """The gate of all steps without one of their own."""
    item = canary.find("analysis")
    if item is None:
        return GatePolicy()
    threshold = item.find("threshold")
    for metric in item.each("metrics"):
        _check_metric(metric, threshold, notes)
    gate = GatePolicy(conditions=_conditions(item))
    if threshold is not None:
        gate = _with_threshold(gate, threshold, notes)
    try:
        return gate.checked()
    except BadPolicy as bad:
        name = "threshold" if threshold and "conditions" not in bad.field else "conditions"
        notes.refuse(item.find(name) or item, f"{bad.field}: {bad.message}.")
        return GatePolicy()


def _with_threshold(gate: GatePolicy, threshold: Item, notes: Notes) -> GatePolicy:
    failing = 1 - threshold.value
    if failing == 0:
        return gate
    if not 0 < failing < 1:
        notes.refuse(threshold, "This is a share of devices: above 0, and 1 at most.")
        return gate
    return replace(
        gate,
        kind=GateKind.SEQUENTIAL,
        unacceptable_rate=failing,
        acceptable_rate=(failing / 2).quantize(_SIX),
        on_exhausted=OnExhausted.PROMOTE_IF_CLEAN,
    )


def _check_metric(metric: Item, threshold: Item | None, notes: Notes) -> None:
    if metric.value not in OUTCOMES:
        known = ", ".join(Metric)
        message = (
            f"Devices do not report {metric.value!r}. For what they do report ({known}) say the "
            "limit in `analysis.conditions`; how many updates fail is error-rate."
        )
        notes.refuse(metric, message)
    elif threshold is None:
        notes.refuse(metric, "Say the share of devices that has to succeed: `threshold`.")

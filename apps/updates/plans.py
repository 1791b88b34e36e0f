"""Plans as REST and RPC say them, there and back."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal

from google.protobuf.timestamp_pb2 import Timestamp

from apps.core.errors import invalid
from apps.core.public import id_of, ids_of, timestamp
from apps.updates.domain.gates import BadPolicy, GatePolicy
from apps.updates.domain.installation import Installation, Mode, Reboot
from apps.updates.domain.notifications import Notifications
from apps.updates.domain.plan import PhasePlan, Plan, Rate
from apps.updates.domain.schedule import EVERY_DAY, Schedule, Window
from apps.updates.domain.sites import SiteLimit
from apps.updates.types import Target
from fleetd.pb.public.v1 import fleet_pb2 as pb

_RATES = ("acceptable_rate", "unacceptable_rate")
_GATE_TEXTS = ("kind", *_RATES, "alpha", "beta", "on_exhausted")
_GATE_NUMBERS = ("minimum_devices", "minimum_soak_seconds")
_CONDITION_TEXTS = ("metric", "limit", "comparison", *_RATES)


def plan_of(message: pb.RolloutPlan) -> Plan:
    """The plan that a request says, with defaults for what it does not. Raises `InvalidRequest`.

    What contradicts itself is the service's to refuse.
    """
    return Plan(
        phases=phases_of(message.phases) or Plan().phases,
        schedule=_schedule_of(message.schedule),
        installation=_installation_of(message.installation),
        priority=message.priority,
        notifications=Notifications(
            email=tuple(address.strip() for address in message.notifications.email),
            occasions=tuple(dict.fromkeys(message.notifications.occasions)),
            failures_above=message.notifications.failures_above,
        ),
        is_dynamic=message.is_dynamic,
        site_limit=_site_limit_of(message.site_limit) if message.HasField("site_limit") else None,
        supersedes=message.supersedes,
    )


def phases_of(messages: Iterable[pb.PhasePlan]) -> tuple[PhasePlan, ...]:
    """Phases of a request, in order."""
    return tuple(_phase_of(f"plan.phases.{n}", phase) for n, phase in enumerate(messages))


def plan_message(plan: Plan) -> pb.RolloutPlan:
    """A plan, with everything that it leaves to defaults filled in."""
    return pb.RolloutPlan(
        phases=[_phase_message(phase) for phase in plan.phases],
        schedule=_schedule_message(plan.schedule),
        installation=_installation_message(plan.installation),
        priority=plan.priority,
        notifications=_notifications_message(plan.notifications)
        if plan.notifications.email
        else None,
        is_dynamic=plan.is_dynamic,
        site_limit=pb.SiteLimit(**plan.site_limit.dump()) if plan.site_limit else None,
        supersedes=plan.supersedes,
    )


def _site_limit_of(message: pb.SiteLimit) -> SiteLimit:
    default = SiteLimit()
    return SiteLimit(
        by=message.by.strip() or default.by,
        in_flight=message.in_flight or default.in_flight,
        bytes_per_second=message.bytes_per_second,
    )


def _notifications_message(told: Notifications) -> pb.RolloutNotifications:
    return pb.RolloutNotifications(
        email=told.email, occasions=told.occasions, failures_above=told.failures_above
    )


def target_of(message: pb.Target, field: str = "target") -> Target:
    """The target that a request says. Raises `InvalidRequest` for what is no id."""
    return Target(
        device_ids=tuple(ids_of(message.device_ids, f"{field}.device_ids")),
        tags=tuple(message.tags),
        group_ids=tuple(ids_of(message.group_ids, f"{field}.group_ids")),
        filter=message.filter,
        failed_in=id_of(message.failed_in) if message.failed_in else None,
        failed_because=message.failed_because,
        percent=message.percent,
        maximum=message.maximum,
    )


def target_message(stored: dict[str, Any]) -> pb.Target:
    """A target as it is stored."""
    return pb.Target(
        device_ids=stored.get("device_ids", []),
        tags=stored.get("tags", []),
        group_ids=stored.get("group_ids", []),
        filter=stored.get("filter", ""),
        failed_in=stored.get("failed_in", ""),
        failed_because=stored.get("failed_because", ""),
        percent=stored.get("percent", 0),
        maximum=stored.get("maximum", 0),
    )


def _phase_of(place: str, message: pb.PhasePlan) -> PhasePlan:
    rate = message.rate if message.HasField("rate") else None
    return PhasePlan(
        percent=message.percent,
        devices=message.devices,
        name=message.name,
        gate=_gate_of(f"{place}.gate", message.gate),
        needs_approval=message.needs_approval,
        rate=rate and Rate(rate.per_minute, rate.growth_percent or 100, rate.maximum_per_minute),
        maximum_in_flight=message.maximum_in_flight,
        filter=message.filter.strip(),
    )


def _gate_of(place: str, message: pb.GatePolicy) -> GatePolicy:
    """What is not set has the default of a gate of this kind."""
    said: dict[str, Any] = _said(message, (*_GATE_TEXTS, *_GATE_NUMBERS, "has_control"))
    if message.conditions:
        said["conditions"] = [_said(each, _CONDITION_TEXTS) for each in message.conditions]
    return gate_of(place, said)


def gate_of(place: str, said: Mapping[str, Any]) -> GatePolicy:
    """The gate that these values say, whoever says them; raises `InvalidRequest` with the field.

    Values as `GatePolicy.restore` takes them: rates and limits as texts or numbers, `conditions` as
    a list of mappings with metric, limit, comparison and rates. What is left out has its default.
    """
    try:
        return GatePolicy.restore(said)
    except BadPolicy as bad:
        raise invalid(f"{place}.{bad.field}", "invalid_gate", bad.message) from bad


def _said(message: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(message, name) for name in names if getattr(message, name)}


def _schedule_of(message: pb.RolloutSchedule) -> Schedule:
    return Schedule(
        start_at=_moment(message, "start_at"),
        end_at=_moment(message, "end_at"),
        windows=tuple(
            Window(w.start_minute, w.end_minute, tuple(sorted(w.weekdays)) or EVERY_DAY)
            for w in message.windows
        ),
        blackout_dates=tuple(_day(text) for text in message.blackout_dates),
        time_zone=message.time_zone,
    )


def _moment(message: pb.RolloutSchedule, name: Literal["start_at", "end_at"]) -> datetime | None:
    found: Timestamp = getattr(message, name)
    return found.ToDatetime(UTC) if message.HasField(name) else None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        sentence = f"{text!r} is not a date such as 2026-12-24."
        raise invalid("plan.schedule.blackout_dates", "invalid_date", sentence) from error


def _installation_of(message: pb.Installation) -> Installation:
    default = Installation()
    return Installation(
        mode=_word(Mode, message.mode, "mode"),
        reboot=_word(Reboot, message.reboot, "reboot"),
        maximum_bytes_per_second=message.maximum_bytes_per_second,
        maximum_attempts=message.maximum_attempts or default.maximum_attempts,
        backoff_seconds=message.backoff_seconds or default.backoff_seconds,
        step_timeouts=dict(message.step_timeouts),
        allow_downgrade=message.allow_downgrade,
    )


def _word(kind: Any, text: str, name: str) -> Any:
    words = [each.value for each in kind]
    if text and text not in words:
        sentence = f"There is no {text!r}; known: {', '.join(words)}."
        raise invalid(f"plan.installation.{name}", f"unknown_{name}", sentence)
    return kind(text) if text else next(iter(kind))


def _phase_message(phase: PhasePlan) -> pb.PhasePlan:
    message = pb.PhasePlan(
        name=phase.name,
        percent=phase.percent,
        devices=phase.devices,
        gate=_gate_message(phase.gate),
        needs_approval=phase.needs_approval,
        maximum_in_flight=phase.maximum_in_flight,
        filter=phase.filter,
    )
    if phase.rate:
        message.rate.per_minute = phase.rate.per_minute
        message.rate.growth_percent = phase.rate.growth_percent
        message.rate.maximum_per_minute = phase.rate.maximum_per_minute
    return message


def _gate_message(gate: GatePolicy) -> pb.GatePolicy:
    dumped = gate.dump()
    names = (*_GATE_TEXTS, *_GATE_NUMBERS, "has_control")
    return pb.GatePolicy(
        **{name: dumped[name] for name in names},
        conditions=[pb.MetricCondition(**each) for each in dumped["conditions"]],
    )


def _schedule_message(schedule: Schedule) -> pb.RolloutSchedule:
    return pb.RolloutSchedule(
        start_at=timestamp(schedule.start_at),
        end_at=timestamp(schedule.end_at),
        windows=[
            pb.Window(
                start_minute=window.start_minute,
                end_minute=window.end_minute,
                weekdays=window.weekdays,
            )
            for window in schedule.windows
        ],
        blackout_dates=[day.isoformat() for day in schedule.blackout_dates],
        time_zone=schedule.time_zone,
    )


def _installation_message(installation: Installation) -> pb.Installation:
    return pb.Installation(**installation.dump())

"""Plans in words, as pages say them: whom, when, behind which gate, how fast, and how."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apps.updates.domain.gates import GateKind, GatePolicy, OnExhausted
from apps.updates.domain.gates.sentences import condition_words, duration, percent
from apps.updates.domain.installation import Installation, Mode, Reboot
from apps.updates.domain.plan import PhasePlan, Plan, Rate
from apps.updates.domain.schedule import EVERY_DAY, Schedule, Window

WEEKDAYS = (
    (1, gettext_lazy("Mon")),
    (2, gettext_lazy("Tue")),
    (3, gettext_lazy("Wed")),
    (4, gettext_lazy("Thu")),
    (5, gettext_lazy("Fri")),
    (6, gettext_lazy("Sat")),
    (7, gettext_lazy("Sun")),
)
MODES = {
    Mode.FORCED: gettext_lazy("at once, without asking"),
    Mode.CONFIRMED: gettext_lazy("when somebody at the device agrees"),
    Mode.DOWNLOAD_ONLY: gettext_lazy("download only, nothing is installed"),
}
REBOOTS = {
    Reboot.WHEN_NEEDED: gettext_lazy("when the update needs it"),
    Reboot.IN_WINDOW: gettext_lazy("in the maintenance window only"),
    Reboot.NEVER: gettext_lazy("never"),
}


def target_text(target: dict[str, Any], *, everything: str = "") -> str:
    """Whom a target means, in words; `everything` is said of one that names nothing."""
    parts = []
    if tags := target.get("tags"):
        parts.append(_("tags %(tags)s") % {"tags": ", ".join(tags)})
    if groups := target.get("group_ids"):
        parts.append(ngettext("%(n)d group", "%(n)d groups", len(groups)) % {"n": len(groups)})
    if ids := target.get("device_ids"):
        parts.append(ngettext("%(n)d device", "%(n)d devices", len(ids)) % {"n": len(ids)})
    if filter := target.get("filter"):
        parts.append(_("devices that match %(filter)s") % {"filter": filter})
    text = _(" or ").join(parts) or everything or _("every active device")
    if target.get("failed_in"):
        text = _("%(whom)s, where an earlier rollout failed") % {"whom": text}
        if reason := target.get("failed_because"):
            text = _("%(whom)s with %(reason)s") % {"whom": text, "reason": reason}
    return _part(target, text)


def _part(target: dict[str, Any], text: str) -> str:
    """How much of those that a target means."""
    if percent := target.get("percent"):
        text = _("%(n)d %% of %(whom)s") % {"n": percent, "whom": text}
    if maximum := target.get("maximum"):
        text = _("at most %(n)d of %(whom)s") % {"n": maximum, "whom": text}
    return text


def gate_lines(policy: GatePolicy) -> list[str]:
    """What a gate demands, one sentence each."""
    strict = _("Promotes when every device has finished; halts at the first failure.")
    lines = [strict if policy.kind is GateKind.STRICT else _statistics(policy)]
    if policy.has_control:
        lines.append(_("Compares with earlier updates of its devices, and with devices held back."))
    for condition in policy.conditions:
        lines.append(_("Watches: %(what)s.") % {"what": condition_words(condition)})
    return lines + _minimums(policy)


def _statistics(policy: GatePolicy) -> str:
    text = _(
        "Promotes once a failure rate of %(bad)s is ruled out, halts once one above %(good)s is"
        " clear (wrong in at most %(promotes)s and %(halts)s of cases)."
    )
    return text % {
        "bad": percent(policy.unacceptable_rate),
        "good": percent(policy.acceptable_rate),
        "promotes": percent(policy.beta),
        "halts": percent(policy.alpha),
    }


def _minimums(policy: GatePolicy) -> list[str]:
    lines = []
    if policy.minimum_devices:
        text = ngettext(
            "At least %(n)d device has to finish.",
            "At least %(n)d devices have to finish.",
            policy.minimum_devices,
        )
        lines.append(text % {"n": policy.minimum_devices})
    if policy.minimum_soak_seconds:
        soak = duration(policy.minimum_soak_seconds)
        lines.append(_("It stays open for %(soak)s at least.") % {"soak": soak})
    if policy.kind is GateKind.SEQUENTIAL and policy.on_exhausted is OnExhausted.PROMOTE_IF_CLEAN:
        lines.append(_("With too few devices to be sure it promotes if none failed."))
    return lines


def limit_lines(phase: PhasePlan) -> list[str]:
    """How fast a phase's devices start."""
    lines = [_rate(phase.rate)] if phase.rate else []
    if phase.maximum_in_flight:
        text = ngettext(
            "At most %(n)d device is at work at a time.",
            "At most %(n)d devices are at work at a time.",
            phase.maximum_in_flight,
        )
        lines.append(text % {"n": phase.maximum_in_flight})
    return lines


def _rate(rate: Rate) -> str:
    text = ngettext(
        "%(n)d device starts per minute",
        "%(n)d devices start per minute",
        rate.per_minute,
    ) % {"n": rate.per_minute}
    if rate.growth_percent > 100:
        text += _(", each minute %(growth)d %% as many") % {"growth": rate.growth_percent}
        if rate.maximum_per_minute:
            text += _(", up to %(most)d") % {"most": rate.maximum_per_minute}
    return f"{text}."


def evidence_lines(facts: dict[str, Any]) -> list[str]:
    """The figures behind what a gate says, in words."""
    lines = []
    if clean := facts.get("clean_devices_to_promote"):
        text = ngettext(
            "%(n)d more clean device promotes", "%(n)d more clean devices promote", clean
        )
        lines.append(text % {"n": clean})
    if failures := facts.get("failures_to_halt"):
        text = ngettext("%(n)d more failure halts", "%(n)d more failures halt", failures)
        lines.append(text % {"n": failures})
    if interval := facts.get("interval"):
        values = {name: percent(Decimal(interval[name])) for name in ("low", "high", "confidence")}
        text = _("the true failure rate is from %(low)s to %(high)s, %(confidence)s sure")
        lines.append(text % values)
    if "llr" in facts:
        text = _("the test stands at %(llr)s: it promotes at %(promote)s and halts at %(halt)s")
        lines.append(text % {"llr": facts["llr"], **facts["bounds"]})
    return lines


def schedule_lines(schedule: Schedule) -> list[str]:
    """When a rollout may work; nothing for one that always may."""
    lines = []
    if schedule.start_at:
        lines.append(_("Starts on its own at %(when)s.") % {"when": _moment(schedule.start_at)})
    if schedule.end_at:
        text = _("Halts at %(when)s if devices are still to go.")
        lines.append(text % {"when": _moment(schedule.end_at)})
    if schedule.windows:
        zone = schedule.time_zone or _("each device's own time")
        lines += [f"{window_words(window)}, {zone}." for window in schedule.windows]
    if schedule.blackout_dates:
        days = ", ".join(day.isoformat() for day in schedule.blackout_dates[:10])
        more = _(" and more") if len(schedule.blackout_dates) > 10 else ""
        lines.append(_("Not on %(days)s.") % {"days": f"{days}{more}"})
    return lines


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def window_words(window: Window) -> str:
    """For example "Mon, Tue 22:00 to 04:00"."""
    days = [str(word) for day, word in WEEKDAYS if day in window.weekdays]
    which = _("every day") if set(window.weekdays) == set(EVERY_DAY) else ", ".join(days)
    times = {"start": clock_time(window.start_minute), "end": clock_time(window.end_minute)}
    return f"{which[:1].upper()}{which[1:]} {_('%(start)s to %(end)s') % times}"


def clock_time(minute: int) -> str:
    """Minutes since midnight as a clock shows them; the day's end is 24:00."""
    return f"{minute // 60:02}:{minute % 60:02}"


def other_lines(plan: Plan) -> Iterable[tuple[str, str]]:
    """What a plan does to sites and to older rollouts, as pairs of what and how."""
    if plan.supersedes:
        yield _("Older rollouts"), _("devices leave them when it is their turn here")
    if limit := plan.site_limit:
        text = _("at most %(n)d devices at work for each %(label)s")
        yield _("Sites"), text % {"n": limit.in_flight, "label": limit.by}
    if limit and limit.bytes_per_second:
        text = _("%(n)d bytes per second together, %(share)d for each device")
        yield _("Their bandwidth"), text % {"n": limit.bytes_per_second, "share": limit.share}


def installation_lines(rules: Installation) -> Iterable[tuple[str, str]]:
    """How devices install, as pairs of what and how; only what is not as usual, besides consent."""
    yield _("Install"), str(MODES[rules.mode])
    yield _("Restart"), str(REBOOTS[rules.reboot])
    if rules.maximum_attempts > 1:
        wait = duration(rules.backoff_seconds)
        text = _("up to %(n)d; the second after %(wait)s, then twice as long each time")
        yield _("Attempts"), text % {"n": rules.maximum_attempts, "wait": wait}
    if rules.maximum_bytes_per_second:
        text = _("%(n)d bytes per second and device")
        yield _("Bandwidth"), text % {"n": rules.maximum_bytes_per_second}
    for step, seconds in rules.step_timeouts.items():
        yield _("Limit of %(step)s") % {"step": step}, duration(seconds)
    if rules.allow_downgrade:
        yield _("Older versions"), _("allowed")

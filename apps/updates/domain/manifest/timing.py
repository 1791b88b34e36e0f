"""Schedules, how devices install, what sites bear, and who is told."""

from apps.updates.domain.installation import TIMED_STEPS, Installation, Mode, Reboot
from apps.updates.domain.manifest.checking import Item
from apps.updates.domain.manifest.notes import Notes
from apps.updates.domain.manifest.schema import EVENTS
from apps.updates.domain.notifications import Notifications
from apps.updates.domain.schedule import EVERY_DAY, Schedule, Window
from apps.updates.domain.sites import SiteLimit

DEVICE, ORGANIZATION = "device_local", "organization"
SCHEDULING = "template.spec.scheduling"
NETWORK = "template.spec.resources.limits.network"


def schedule_of(spec: Item, notes: Notes) -> Schedule:
    """When the rollout may work; the organization's zone is `is_organization_zone`'s to say."""
    item = spec.find(SCHEDULING)
    if item is None:
        return Schedule()
    single = item.find("window")
    windows = ([single] if single else []) + item.each("windows")
    notes.keep("schedule", item)
    notes.keep("schedule.windows", item.find("windows") or single)
    for place, window in enumerate(windows):
        notes.keep(f"schedule.windows.{place}", window)
    for field, key in (("start_at", "startAt"), ("end_at", "endAt")):
        notes.keep(f"schedule.{field}", item.find(key))
    notes.keep("schedule.blackout_dates", item.find("blackoutDates"))
    notes.keep("priority", item.find("priority"))
    zone = zone_of(spec, notes)
    return Schedule(
        start_at=item.get("startAt"),
        end_at=item.get("endAt"),
        windows=tuple(_window(each) for each in windows),
        blackout_dates=tuple(item.values("blackoutDates")),
        time_zone="" if zone in (DEVICE, ORGANIZATION) else zone,
    )


def zone_of(spec: Item, notes: Notes) -> str:
    """The time zone as it is written."""
    general = spec.find(f"{SCHEDULING}.timezone")
    single = spec.find(f"{SCHEDULING}.window.timezone")
    if general and single and general.value != single.value:
        notes.refuse(single, "All windows of a rollout have one time zone.")
    found = general or single
    return str(found.value) if found else DEVICE


def installation_of(spec: Item, notes: Notes) -> Installation:
    """How devices install."""
    item, default = spec.find("installation") or Item(spec.place), Installation()
    notes.keep("installation", spec.find("installation"))
    notes.keep("installation.maximum_bytes_per_second", spec.find(NETWORK))
    notes.keep("installation.backoff_seconds", item.find("backoff"))
    steps = {step: item.find(f"stepTimeouts.{step}") for step in TIMED_STEPS}
    for step, found in steps.items():
        notes.keep(f"installation.step_timeouts.{step}", found)
    return Installation(
        mode=Mode(item.get("mode", default.mode)),
        reboot=Reboot(item.get("reboot", default.reboot)),
        maximum_bytes_per_second=spec.get(NETWORK, 0),
        maximum_attempts=item.get("maximumAttempts", default.maximum_attempts),
        backoff_seconds=item.get("backoff", default.backoff_seconds),
        step_timeouts={step: found.value for step, found in steps.items() if found},
        allow_downgrade=item.get("allowDowngrade", False),
    )


def site_limit_of(spec: Item, notes: Notes) -> SiteLimit | None:
    """What each site bears."""
    item, default = spec.find("rollout.siteLimit"), SiteLimit()
    if item is None:
        return None
    notes.keep("site_limit", item)
    for field, key in (("by", "by"), ("in_flight", "inFlight"), ("bytes_per_second", "network")):
        notes.keep(f"site_limit.{field}", item.find(key))
    return SiteLimit(
        by=str(item.get("by", default.by)).strip(),
        in_flight=item.get("inFlight", default.in_flight),
        bytes_per_second=item.get("network", 0),
    )


def notifications_of(spec: Item, notes: Notes) -> Notifications:
    """Who is told what happens."""
    item = spec.find("notifications.email")
    if item is None:
        return Notifications()
    notes.keep("notifications", item)
    notes.keep("notifications.email", item.find("recipients"))
    notes.keep("notifications.occasions", item.find("events"))
    events = [EVENTS.get(event, event) for event in item.values("events")]
    return Notifications(
        email=tuple(item.values("recipients")),
        occasions=tuple(dict.fromkeys(events)),
        failures_above=item.get("failuresAbove", 0),
    )


def _window(item: Item) -> Window:
    days = tuple(item.values("weekdays")) or EVERY_DAY
    return Window(item.get("start", 0), item.get("end", 0), days)

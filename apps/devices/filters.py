"""What devices can be found by: the whitelist of the filter language for them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import Case, F, Q, When

from apps.core.filters import Field, Fields, Filter
from apps.core.filters.kinds import (
    BadValue,
    ChoiceKind,
    KeysKind,
    Kind,
    MomentKind,
    NumberKind,
    TextKind,
    UuidKind,
    VersionKind,
    WholeKind,
    WordsKind,
    json_text,
    json_whole,
)
from apps.core.filters.literals import Literal
from apps.core.ids import parse_uuid
from apps.devices.domain.connectivity import connectivity_of
from apps.devices.domain.states import CONNECTED, Connectivity, Lifecycle
from apps.devices.domain.tags import normalized

_WHOLE = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class GroupRule:
    """Which devices a group has: chosen ones, those with a tag, or those that match a filter."""

    id: UUID
    name: str
    tag: str = ""
    filter: Filter | None = None


@dataclass(frozen=True, slots=True)
class DeviceContext:
    """What filters of devices are asked in: the time, and every group that they speak of."""

    now: datetime
    groups: Mapping[UUID, GroupRule] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConnectivityKind(ChoiceKind):
    """What is stored, read with the deadline: a device that fell silent is offline."""

    def condition(self, source: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> Q:
        found = has_connectivity(Connectivity(value), ctx.now)
        return ~found if operator == "!=" else found

    def holds(self, actual: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> bool:
        """`actual` is the device's state: what it means depends on the time."""
        return (connectivity_of(actual, ctx.now) == value) is (operator == "=")


class GroupKind(Kind):
    """Groups by name or id: static ones, those of a tag, and smart ones, whose filter is asked.

    `value` is the group's id once the name was looked up, which whoever runs the filter does.
    """

    name: ClassVar[str] = "group"
    operators: ClassVar[tuple[str, ...]] = ("=", ":")
    values: ClassVar[str] = "the name or id of a group"

    def parsed(self, literal: Literal) -> UUID | str:
        if literal.is_any or not literal.text:
            raise BadValue("A group is named here")
        return parse_uuid(literal.text) or literal.text

    def condition(self, source: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> Q:
        group: GroupRule = ctx.groups[value]
        if group.filter is not None:
            return group.filter.to_q(ctx)
        if group.tag:
            return Q(tags__contains=[group.tag])
        return Q(group_ids__contains=[group.id])

    def holds(self, actual: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> bool:
        """`actual` is the device."""
        group: GroupRule = ctx.groups[value]
        if group.filter is not None:
            return group.filter.matches(actual, ctx)
        return group.tag in actual.tags if group.tag else group.id in actual.group_ids


GROUP = GroupKind()


def has_connectivity(wanted: Connectivity, now: datetime) -> Q:
    """Devices whose connectivity is this one, deadline and all."""
    if wanted is Connectivity.NEVER_SEEN:
        return Q(state__connectivity=wanted.value)
    passed = Q(state__offline_at__lte=now) | Q(state__offline_at__isnull=True)
    if wanted is Connectivity.OFFLINE:
        silent = Q(state__connectivity__in=CONNECTED) & passed
        return Q(state__connectivity=wanted.value) | silent
    return Q(state__connectivity=wanted.value, state__offline_at__gt=now)


def _column(name: str) -> Callable[[Any, str], Any]:
    return lambda device, _: getattr(device, name)


def _state(name: str) -> Callable[[Any, str], Any]:
    return lambda device, _: getattr(device.state, name)


def _reported(name: str, device: Any, _: str) -> Any:
    """A figure of the last heartbeat; before the first there is none, though the column has 0."""
    return getattr(device.state, name) if device.state.last_seen_at else None


def _reported_sql(name: str, _: str) -> Any:
    return Case(When(state__last_seen_at__isnull=False, then=F(f"state__{name}")))


def _inventory_text(name: str, device: Any, _: str) -> str | None:
    found = device.inventory.get(name)
    return found if isinstance(found, str) else None


def _inventory_whole(name: str, device: Any, _: str) -> int | None:
    found = str(device.inventory.get(name, ""))
    return int(found) if _WHOLE.fullmatch(found) else None


def _label(device: Any, key: str) -> str | None:
    facts = device.inventory.get("facts")
    found = facts.get(key) if isinstance(facts, dict) else None
    return found if isinstance(found, str) else None


def _version(device: Any, name: str) -> str | None:
    found = device.installed.get(name)
    return found if isinstance(found, str) else None


def _of(name: str, kind: Kind, text: str, example: str, source: str = "") -> Field:
    path = source or name
    read = _state(path.removeprefix("state__")) if path.startswith("state__") else _column(path)
    return Field(name, kind, path, read, text, example)


def _metric(name: str, column: str, kind: Kind, text: str, example: str) -> Field:
    full = f"metrics.{name}"
    source, read = partial(_reported_sql, column), partial(_reported, column)
    return Field(full, kind, source, read, text, f"{full} {example}")


def _whole(name: str, key: str, text: str, example: str) -> Field:
    def source(_: str) -> Any:
        return json_whole("inventory", key)

    return Field(name, WholeKind(), source, partial(_inventory_whole, key), text, example)


DEVICE_FIELDS = Fields(
    "devices",
    [
        _of("id", UuidKind(), "the device's id", 'id = "0199b4c2-…"'),
        _of("name", TextKind(), "the name that people gave it", 'name = "web-*"'),
        _of("hostname", TextKind(), "its host name", 'hostname:"berlin"'),
        _of("serial", TextKind(), "its serial number", 'serial = "SN-0042"'),
        _of("hardware_id", TextKind(), "its hardware identity", 'hardware_id = "a1b2*"'),
        _of("model", TextKind(), "what kind of machine it is", 'model = "Raspberry Pi 5*"'),
        _of("architecture", TextKind(), "its processor's", 'architecture = "aarch64"'),
        _of("os_name", TextKind(), "its operating system", 'os_name:"debian"'),
        _of("os_version", VersionKind(), "the system's version", 'os_version >= "12"'),
        _of("kernel", VersionKind(), "the kernel's version", 'kernel < "6.1"'),
        _of("agent_version", VersionKind(), "the agent's version", 'agent_version < "1.4.0"'),
        _of(
            "lifecycle",
            ChoiceKind(tuple(state.value for state in Lifecycle)),
            "where it is in its life",
            'lifecycle = "pending"',
        ),
        Field(
            "connectivity",
            ConnectivityKind(tuple(state.value for state in Connectivity)),
            "state",
            lambda device, _: device.state,
            "whether it can be reached now, deadline and all",
            'connectivity = "offline"',
        ),
        _of(
            "last_seen",
            MomentKind(),
            "when it last spoke",
            'last_seen < "-7d"',
            "state__last_seen_at",
        ),
        _of("created_at", MomentKind(), "when it joined", 'created_at > "2026-11-01"'),
        _of("tags", WordsKind(normalized), "its tags", 'tags:"lab"'),
        Field(
            "group",
            GROUP,
            "",
            lambda device, _: device,
            "a group that it is in: static, of a tag, or smart",
            'group = "canary"',
        ),
        Field(
            "labels",
            TextKind(),
            partial(json_text, "inventory", "facts"),
            _label,
            "a fact that its agent reports, such as a label of the agent's configuration",
            'labels.site = "oslo"',
            keyed="member",
        ),
        _of("installed", KeysKind(), "components that are installed on it", 'installed:"app"'),
        Field(
            "version",
            VersionKind(),
            partial(json_text, "installed"),
            _version,
            "the installed version of a component",
            'version("app") >= "2.3.0"',
            keyed="function",
        ),
        Field(
            "cpu_model",
            TextKind(),
            lambda _: json_text("inventory", "cpu_model"),
            partial(_inventory_text, "cpu_model"),
            "its processor",
            'cpu_model:"cortex"',
        ),
        _whole("cpu_count", "cpu_count", "how many processors it has", "cpu_count >= 4"),
        _whole("memory", "memory_bytes", "how much memory it has", "memory >= 4GiB"),
        _whole("disk", "disk_bytes", "how large its disk is", "disk < 16GB"),
        _of(
            "ip",
            TextKind(),
            "the address that it speaks from",
            'ip = "10.1.*"',
            "state__ip_address",
        ),
        _metric("cpu_ratio", "cpu_ratio", NumberKind(), "processor load, 0 to 1", "> 90%"),
        _metric("memory_ratio", "memory_ratio", NumberKind(), "memory in use, 0 to 1", "> 0.8"),
        _metric("disk_ratio", "disk_ratio", NumberKind(), "disk in use, 0 to 1", ">= 95%"),
        _metric("cpu_temp", "temperature_celsius", NumberKind(), "degrees Celsius", "> 80"),
        _metric(
            "temperature_celsius",
            "temperature_celsius",
            NumberKind(),
            "the same, as the API names it",
            "> 80",
        ),
        _metric(
            "uptime_seconds", "uptime_seconds", WholeKind(), "seconds since it started", "< 600"
        ),
    ],
    searched=("name", "hostname", "serial", "hardware_id", "ip", "tags"),
)

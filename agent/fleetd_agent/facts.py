"""Facts of the real machine, from the kernel, the firmware and the operating system."""

import ipaddress
import os
import platform
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from zoneinfo import available_timezones

import psutil

from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb

DMI = Path("/sys/class/dmi/id")
LOCAL_TIME = Path("/etc/localtime")
DEVICE_TREE = Path("/proc/device-tree")
# What vendors leave in the firmware when they forget to fill it in.
PLACEHOLDERS = frozenset(
    {
        "",
        "none",
        "default string",
        "to be filled by o.e.m.",
        "not specified",
        "system serial number",
        "system product name",
        "0",
        "03000200-0400-0500-0006-000700080009",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    }
)
MAXIMUM_ADDRESSES = 64
TEMPERATURE_RANGE = (-100.0, 200.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a heartbeat says of the machine; ratios are 0 to 1."""

    cpu_ratio: float
    memory_ratio: float
    disk_ratio: float
    temperature_celsius: float | None
    uptime_seconds: int


class Hardware(Protocol):
    """The machine that the agent runs on, or a simulated one."""

    def hardware_id(self) -> str:
        """A stable identity of the machine."""

    def boot_id(self) -> str:
        """Changes with each boot."""

    def hostname(self) -> str:
        """The machine's own name."""

    def inventory(self) -> pb.Inventory:
        """All facts, without what is installed."""

    def sample(self) -> Sample:
        """Load and temperature now."""


class Machine:
    """The machine this process runs on."""

    def __init__(self, labels: Mapping[str, str] | None = None, folder: Path = Path("/")) -> None:
        self._labels = dict(labels or {})
        self._folder = folder
        psutil.cpu_percent()  # the first reading only starts the measurement

    def hardware_id(self) -> str:
        """DMI product UUID, serial of the device tree, or the machine id."""
        for path in (
            DMI / "product_uuid",
            DEVICE_TREE / "serial-number",
            Path("/etc/machine-id"),
            Path("/var/lib/dbus/machine-id"),
        ):
            if text := _read(path):
                return text[:200].lower()
        addresses = sorted(_hardware_addresses())
        return addresses[0] if addresses else self.hostname()

    def boot_id(self) -> str:
        """The kernel's random boot id."""
        return _read(Path("/proc/sys/kernel/random/boot_id"))[:64]

    def hostname(self) -> str:
        """The kernel's host name."""
        return socket.gethostname()[:253]

    def inventory(self) -> pb.Inventory:
        """All facts, without what is installed."""
        release = _os_release()
        inventory = pb.Inventory(
            os_name=release.get("NAME", platform.system())[:200],
            os_version=release.get("VERSION", release.get("VERSION_ID", ""))[:200],
            kernel=platform.release()[:200],
            architecture=platform.machine()[:64],
            model=_model()[:200],
            serial=_serial()[:200],
            cpu_model=_cpu_model()[:200],
            cpu_count=os.cpu_count() or 0,
            memory_bytes=psutil.virtual_memory().total,
            disk_bytes=shutil.disk_usage(self._folder).total,
            hostname=self.hostname(),
            ip_addresses=_addresses(),
        )
        if zone := _time_zone():
            inventory.facts["time_zone"] = zone
        inventory.facts.update(self._labels)
        return inventory

    def sample(self) -> Sample:
        """Load and temperature now."""
        disk = shutil.disk_usage(self._folder)
        return Sample(
            cpu_ratio=_ratio(psutil.cpu_percent() / 100),
            memory_ratio=_ratio(psutil.virtual_memory().percent / 100),
            disk_ratio=_ratio(disk.used / disk.total if disk.total else 0),
            temperature_celsius=_temperature(),
            uptime_seconds=_uptime(),
        )


def _ratio(value: float) -> float:
    return min(1.0, max(0.0, value))


def _time_zone() -> str:
    """The IANA name of the zone that the device is set to, for maintenance windows."""
    named = os.environ.get("TZ", "").lstrip(":") or _read(Path("/etc/timezone"))
    linked = os.path.realpath(LOCAL_TIME).partition("/zoneinfo/")[2]
    name = named or linked
    return name if name in available_timezones() else ""


def _read(path: Path) -> str:
    try:
        text = path.read_text(errors="replace").strip("\0 \n\t")
    except OSError:
        return ""
    return "" if text.lower() in PLACEHOLDERS else text


def _os_release() -> Mapping[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _model() -> str:
    if model := _read(DEVICE_TREE / "model"):
        return model
    parts = (_read(DMI / "sys_vendor"), _read(DMI / "product_name"))
    return " ".join(part for part in parts if part)


def _serial() -> str:
    return _read(DEVICE_TREE / "serial-number") or _read(DMI / "product_serial")


def _cpu_model() -> str:
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware", "cpu model"):
            return value.strip()
    return platform.processor()


def _addresses() -> list[str]:
    """Addresses by which the machine can be told apart; not loopback, not link-local."""
    found = []
    for items in psutil.net_if_addrs().values():
        for item in items:
            if item.family in (socket.AF_INET, socket.AF_INET6):
                with suppress(ValueError):
                    address = ipaddress.ip_address(item.address.split("%")[0])
                    if not address.is_loopback and not address.is_link_local:
                        found.append(str(address))
    return sorted(found)[:MAXIMUM_ADDRESSES]


def _hardware_addresses() -> list[str]:
    return [
        item.address
        for items in psutil.net_if_addrs().values()
        for item in items
        if item.family == psutil.AF_LINK and item.address != "00:00:00:00:00:00"
    ]


def _temperature() -> float | None:
    try:
        sensors = psutil.sensors_temperatures()
    except (AttributeError, OSError):
        return None
    low, high = TEMPERATURE_RANGE
    values = [s.current for group in sensors.values() for s in group if low < s.current < high]
    return max(values) if values else None


def _uptime() -> int:
    text = _read(Path("/proc/uptime")).split()
    return int(float(text[0])) if text else max(0, int(time.time() - psutil.boot_time()))

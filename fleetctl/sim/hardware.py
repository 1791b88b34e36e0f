"""Fake hardware: plausible machines that are the same each time for the same seed."""

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from fleetd_agent.facts import Sample
from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb

from fleetctl.sim.behaviour import chance

NAMESPACE = uuid.UUID("6f1d2c38-9d4b-4a57-8f0e-0b6a2f7a9c11")
SITES = ("oslo", "lyon", "porto", "turku")
GIB = 1 << 30
# Degrees that a version costs which makes machines hot.
HOTTER = 35


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of machine."""

    name: str
    model: str
    os_name: str
    os_version: str
    kernel: str
    architecture: str
    cpu_model: str
    cpu_count: int
    memory_bytes: int
    disk_bytes: int
    warm_celsius: float


TEMPLATES = {
    item.name: item
    for item in (
        Template(
            "pi4", "Raspberry Pi 4 Model B Rev 1.4", "Debian GNU/Linux", "12 (bookworm)",
            "6.6.51+rpt-rpi-v8", "aarch64", "Cortex-A72", 4, 4 * GIB, 32 * GIB, 52.0,
        ),
        Template(
            "jetson", "NVIDIA Jetson Orin Nano Developer Kit", "Ubuntu",
            "22.04.5 LTS (Jammy Jellyfish)", "5.15.148-tegra", "aarch64", "Cortex-A78AE", 6,
            8 * GIB, 128 * GIB, 58.0,
        ),
        Template(
            "x86", "Advantech UNO-2484G", "Debian GNU/Linux", "13 (trixie)", "6.12.48-amd64",
            "x86_64", "Intel(R) Core(TM) i5-7300U CPU @ 2.60GHz", 4, 16 * GIB, 256 * GIB, 46.0,
        ),
    )
}  # fmt: skip


class FakeMachine:
    """One simulated machine."""

    def __init__(self, seed: int, number: int, template: Template, site: str) -> None:
        self._template = template
        self._site = site
        self._key = (seed, number)
        self._name = f"{site}-{template.name}-{number:04d}"
        self._rng = random.Random(f"{seed}/{number}")  # noqa: S311 - repeatable on purpose
        self._cpu = self._rng.uniform(0.03, 0.35)
        self._memory = self._rng.uniform(0.25, 0.7)
        self._disk = self._rng.uniform(0.1, 0.8)
        self._booted_at = time.monotonic() - self._rng.uniform(3_600, 40 * 86_400)
        # Whether what is installed makes it hot and busy.
        self.is_hot: Callable[[], bool] = bool  # bool() is False

    @property
    def kind(self) -> str:
        """The name of its template."""
        return self._template.name

    def hardware_id(self) -> str:
        """The same for the same seed and number."""
        return str(uuid.uuid5(NAMESPACE, f"{self._key[0]}/{self._key[1]}"))

    def boot_id(self) -> str:
        """Simulated machines do not reboot."""
        return str(uuid.uuid5(NAMESPACE, f"boot/{self._key[0]}/{self._key[1]}"))

    def hostname(self) -> str:
        """Site, kind and number."""
        return self._name

    def inventory(self) -> pb.Inventory:
        """What a machine of this kind would say."""
        kind = self._template
        seed, number = self._key
        low = int(chance(seed, number, "address") * 250) + 2
        return pb.Inventory(
            os_name=kind.os_name,
            os_version=kind.os_version,
            kernel=kind.kernel,
            architecture=kind.architecture,
            model=kind.model,
            serial=f"SIM{int(chance(seed, number, 'serial') * 10**10):010d}",
            cpu_model=kind.cpu_model,
            cpu_count=kind.cpu_count,
            memory_bytes=kind.memory_bytes,
            disk_bytes=kind.disk_bytes,
            hostname=self._name,
            ip_addresses=[f"10.{number // 256 % 256}.{number % 256}.{low}"],
            facts={"site": self._site, "simulated": "true"},
        )

    def sample(self) -> Sample:
        """Wanders a little with each heartbeat."""
        self._cpu = self._wander(self._cpu, 0.08, 0.02, 0.95)
        self._memory = self._wander(self._memory, 0.02, 0.15, 0.92)
        self._disk = min(0.95, self._disk + self._rng.uniform(0, 0.0002))
        warmth = self._template.warm_celsius + 25 * self._cpu + self._rng.uniform(-1, 1)
        uptime = int(time.monotonic() - self._booted_at)
        if self.is_hot():
            return Sample(0.98, self._memory, self._disk, round(warmth + HOTTER, 1), uptime)
        return Sample(self._cpu, self._memory, self._disk, round(warmth, 1), uptime)

    def _wander(self, value: float, step: float, low: float, high: float) -> float:
        return min(high, max(low, value + self._rng.uniform(-step, step)))


def machine(seed: int, number: int, templates: list[str], sites: list[str]) -> FakeMachine:
    """Machine `number` of the fleet: kinds and sites are dealt out by the seed."""
    kind = templates[int(chance(seed, number, "template") * len(templates))]
    site = sites[int(chance(seed, number, "site") * len(sites))]
    return FakeMachine(seed, number, TEMPLATES[kind], site)

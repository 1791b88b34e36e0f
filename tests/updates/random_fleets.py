"""Random fleets with many rollouts at once, in which a lot has happened already."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

import time_machine
from django.db import transaction

from apps.core.actors import Actor, Source, system_actor
from apps.core.errors import FleetdError
from apps.devices.domain.connectivity import connectivity_of
from apps.devices.domain.states import CONNECTED, Connectivity, Lifecycle
from apps.devices.models import Device, DeviceState, GroupMember
from apps.devices.services.devices import (
    decommission_device,
    quarantine_device,
    release_device,
)
from apps.devices.services.groups import create_device_group
from apps.updates.domain.gates import GatePolicy
from apps.updates.domain.installation import Installation
from apps.updates.domain.plan import PhasePlan, Plan, Rate
from apps.updates.domain.schedule import Schedule, Window
from apps.updates.domain.sites import SiteLimit
from apps.updates.models import Deployment, Release, Rollout
from apps.updates.services.artifacts import store_artifact
from apps.updates.services.holds import pin_device, quarantine_failing_device, unpin_device
from apps.updates.services.offers import apply_reports, claim_deployments
from apps.updates.services.planning import create_rollout
from apps.updates.services.releases import create_release
from apps.updates.services.rollbacks import roll_back_rollout
from apps.updates.services.rollouts import (
    cancel_rollout,
    halt_rollout,
    pause_rollout,
    resume_rollout,
    start_rollout,
)
from apps.updates.services.scheduling import advance_rollout, expire_deployments, skip_device
from apps.updates.services.superseding import supersede_devices
from apps.updates.types import Compatibility, NewComponent, Report, Target
from tests import factories
from tests.factories import Cast

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SITES: tuple[dict[str, object], ...] = ({}, {"site": "oslo"}, {"site": "rome"}, {"site": 7})
TAGS, MODELS = ("a", "b", "c"), ("pi4", "x86")
ZONES = ("", "Europe/Oslo", "Asia/Tokyo", "Nowhere/Town")
FILTERS = (
    'model = "pi4"',
    'version("app") < "2.0.0" AND tags:"a"',
    'NOT tags:"b" OR labels.time_zone = "Asia/Tokyo"',
    'group = "cool" AND NOT group = "chosen"',
)
INSTALLED = (
    {},
    {"app": "1.0.0"},
    {"app": "1.5.0", "base": "1.0.0"},
    {"app": "2.0.0", "base": "1.1.0"},
    {"base": "1.0.0", "legacy": "3"},
    {"tool": "1.0.0"},
)


@dataclass
class World:
    """One random fleet of acme."""

    acme: Cast
    alice: Actor
    clock: time_machine.Traveller
    random: Random
    size: int
    device_ids: list[UUID] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    rollout_ids: list[UUID] = field(default_factory=list)
    group_ids: list[UUID] = field(default_factory=list)

    @property
    def system(self) -> Actor:
        """Gateways and the scheduler."""
        return system_actor(self.acme.id, source=Source.AGENT)

    def build(self, rollouts: int, steps: int) -> "World":
        """Devices, groups, releases and rollouts, and then one thing after the other."""
        self._groups()
        for number in range(self.size):
            self._device(number)
        self._releases()
        for number in range(rollouts):
            self._rollout(number)
        for _ in range(steps):
            self._step()
        self._last_ones()
        return self

    def _last_ones(self) -> None:
        """One more rollout that has just begun, and one that has not: somebody's turn has come."""
        release = self._release("last", "1.0.0", Compatibility())
        for number in range(2):
            made = create_rollout(
                self.alice, name=f"Last {number}", release_id=release.id, target=Target()
            )
            self.rollout_ids.append(made.id)
        start_rollout(self.alice, self.rollout_ids[-1])

    def devices(self) -> list[Device]:
        """As they are now, with their state."""
        rows = Device.objects.for_org(self.acme.id).filter(id__in=self.device_ids)
        return list(rows.select_related("state").order_by("id"))

    def rollouts(self) -> list[Rollout]:
        """As they are now, roll backs included."""
        return list(Rollout.objects.for_org(self.acme.id).order_by("id"))

    def handed_out(self, device: Device) -> UUID | None:
        """The rollout whose deployment the device would be handed now; nothing is stored."""
        if not self.is_connected(device):
            return None  # no gateway holds it, so none asks for it
        with transaction.atomic():
            offers = claim_deployments(self.system, [device.id])
            transaction.set_rollback(True)
        return offers[0].rollout_id if offers else None

    def is_connected(self, device: Device) -> bool:
        """Whether a gateway would ask for it."""
        return connectivity_of(device.state, datetime.now(UTC)) in CONNECTED

    def _groups(self) -> None:
        for values in ({"name": "chosen"}, {"name": "of-b", "tag": "b"}):
            self.group_ids.append(create_device_group(self.alice, **values).id)
        smart = create_device_group(self.alice, name="cool", filter='model = "pi4" OR tags:"c"')
        self.group_ids.append(smart.id)

    def _device(self, number: int) -> None:
        pick, state = self.random.choice, {}
        if self.random.random() < 0.8:
            state = factories.online(self.random.choice((60, 36000, 36000)))
        device = factories.device(
            self.acme.id,
            f"device {number}",
            lifecycle=pick([Lifecycle.ACTIVE] * 8 + [Lifecycle.PENDING, Lifecycle.QUARANTINED]),
            state=state,
            model=pick(MODELS),
            tags=sorted(self.random.sample(TAGS, self.random.randrange(3))),
            installed=pick(INSTALLED),
            inventory={"facts": {"time_zone": pick(ZONES), **pick(SITES)}},
        )
        self.device_ids.append(device.id)
        if self.random.random() < 0.4:
            GroupMember(
                organization_id=self.acme.id, group_id=self.group_ids[0], device=device
            ).save(force_insert=True)

    def _releases(self) -> None:
        rules = (
            ("app", "1.0.0", Compatibility()),
            ("app", "1.5.0", Compatibility(is_stepping_stone=True)),
            ("app", "2.0.0", Compatibility("", [("base", ">=1.0")], [("legacy", "*")])),
            ("base", "1.1.0", Compatibility('NOT model = "x86" OR tags:"a"')),
            ("tool", "1.0.0", Compatibility('model = "pi4"')),
        )
        for rule in rules:
            self.releases.append(self._release(*rule))

    def _release(self, name: str, version: str, compatibility: Compatibility) -> Release:
        file = io.BytesIO(f"{name} {version}".encode())
        artifact = store_artifact(self.alice, name="a.sh", file=file)
        part = NewComponent(name=name, kind="script", artifact_id=artifact.id)
        values = {"version": version, "components": [part], "compatibility": compatibility}
        return create_release(self.alice, name=name, **values)

    def _rollout(self, number: int) -> None:
        def plan() -> None:
            made = create_rollout(
                self.alice,
                name=f"Rollout {number}",
                release_id=self.random.choice(self.releases).id,
                target=self._target(),
                excluded=replace(self._target(), percent=0, maximum=0)
                if self.random.random() < 0.3
                else None,
                plan=self._plan(),
                requires_approval=self.random.random() < 0.1,
            )
            self.rollout_ids.append(made.id)

        self._try(plan)
        if self.random.random() < 0.7 and self.rollout_ids:
            self.clock.shift(timedelta(seconds=self.random.choice((0, 5))))
            self._try(lambda: start_rollout(self.alice, self.rollout_ids[-1]))

    def _target(self) -> Target:
        pick = self.random
        return pick.choice(
            (
                Target(),
                Target(tags=(pick.choice(TAGS),)),
                Target(group_ids=(pick.choice(self.group_ids),)),
                Target(device_ids=tuple(pick.sample(self.device_ids, self.size // 2))),
                Target(filter=pick.choice(FILTERS)),
                Target(percent=pick.choice((10, 50)), maximum=pick.choice((0, 3))),
                Target(filter=pick.choice(FILTERS), tags=(pick.choice(TAGS),)),
            )
        )

    def _plan(self) -> Plan:
        pick = self.random
        percents = pick.choice(((100,), (30, 100), (20, 60, 100)))
        schedule = Schedule()
        if pick.random() < 0.4:
            start = pick.randrange(0, 1440, 60)
            window = Window(start, (start + pick.choice((60, 600, 1200))) % 1440 or 1440)
            blackout = (date(2026, 11, pick.choice((23, 24))),) if pick.random() < 0.3 else ()
            schedule = Schedule(windows=(window,), blackout_dates=blackout)
            if pick.random() < 0.5:
                schedule = Schedule(windows=(window,), time_zone="Europe/Berlin")
        attempts = Installation(maximum_attempts=pick.choice((1, 1, 3)), backoff_seconds=300)
        gate = GatePolicy(
            kind="sequential", acceptable_rate=Decimal("0.1"), unacceptable_rate=Decimal("0.5")
        )
        phases = tuple(
            PhasePlan(
                percent,
                gate=pick.choice((gate, GatePolicy())),
                needs_approval=place > 0 and pick.random() < 0.2,
                rate=Rate(pick.choice((1, 3))) if pick.random() < 0.3 else None,
                maximum_in_flight=pick.choice((0, 0, 1, 3)),
            )
            for place, percent in enumerate(percents)
        )
        priority, site_limit = pick.choice((-5, 0, 0, 5)), None
        if pick.random() < 0.3:
            site_limit = SiteLimit("labels.site", pick.choice((1, 2)), pick.choice((0, 10_000)))
        return Plan(
            phases,
            schedule,
            attempts,
            priority,
            site_limit=site_limit,
            supersedes=pick.random() < 0.2,
        )

    def _step(self) -> None:
        """Something happens to somebody."""
        pick = self.random
        rollout = pick.choice(self.rollout_ids)
        device_id = pick.choice(self.device_ids)
        steps: tuple[tuple[int, Callable[[], object]], ...] = (
            (8, self._claim),
            (8, self._report),
            (6, lambda: advance_rollout(self.system, rollout)),
            (3, lambda: self.clock.shift(timedelta(seconds=pick.choice((7, 61, 400))))),
            (1, lambda: expire_deployments(self.system)),
            (3, lambda: supersede_devices(self.system, rollout)),
            (1, lambda: pause_rollout(self.alice, rollout)),
            (2, lambda: resume_rollout(self.alice, rollout)),
            (1, lambda: halt_rollout(self.alice, rollout, reason="hot")),
            (1, lambda: cancel_rollout(self.alice, rollout)),
            (1, lambda: roll_back_rollout(self.alice, rollout)),
            (2, lambda: start_rollout(self.alice, rollout)),
            (3, lambda: pin_device(self.alice, device_id, reason="keep", until=self._until())),
            (1, lambda: unpin_device(self.alice, device_id)),
            (3, lambda: quarantine_failing_device(self.system, device_id)),
            (1, lambda: quarantine_device(self.alice, device_id, reason="odd")),
            (2, lambda: release_device(self.alice, device_id)),
            (1, lambda: self._decommission(device_id)),
            (2, lambda: self._change(device_id)),
        )
        weights = [weight for weight, _ in steps]
        self._try(pick.choices([step for _, step in steps], weights)[0])

    def _try(self, step: Callable[[], object]) -> None:
        """What is refused does not happen."""
        try:
            with transaction.atomic():
                step()
        except FleetdError:
            pass

    def _until(self) -> datetime | None:
        pick = self.random.choice((None, 600, 36000))
        return datetime.now(UTC) + timedelta(seconds=pick) if pick else None

    def _claim(self) -> None:
        some = self.random.sample(self.devices(), self.size // 3)
        claim_deployments(self.system, [d.id for d in some if self.is_connected(d)])

    def _report(self) -> None:
        rows = Deployment.objects.for_org(self.acme.id).filter(started_at__isnull=False)
        active = [row for row in rows.order_by("id") if row.finished_at is None]
        reports = [
            Report(
                row.device_id,
                row.id,
                row.report_sequence + 1,
                self.random.choice(("installing", "succeeded", "failed", "failed")),
                message="as it happens",
            )
            for row in active
            if self.random.random() < 0.7
        ]
        apply_reports(self.system, reports)

    def _decommission(self, device_id: UUID) -> None:
        decommission_device(self.alice, device_id, reason="sold")
        skip_device(self.system, device_id)

    def _change(self, device_id: UUID) -> None:
        """The device says something else about itself, or falls silent."""
        device = Device.objects.for_org(self.acme.id).filter(id=device_id)
        device.update(model=self.random.choice(MODELS), tags=[self.random.choice(TAGS)])
        DeviceState.objects.for_org(self.acme.id).filter(device_id=device_id).update(
            connectivity=self.random.choice(list(Connectivity)).value
        )

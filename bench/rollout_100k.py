"""P6: a rollout over 100,000 devices, set-based against one by one.

Starts an embedded PostgreSQL and Valkey of its own, with the settings that the product uses (every
commit on the disk), and works through the services that gateways and people use.
"""

import io
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from bench.harness import ROOT, Goal, Result, Side, keep
from bench.pages import PageReader
from fleetd.settings.layout import DataLayout, write_private
from fleetd.settings.registry import environment
from fleetd.supervisor.processes import spawn, stop
from fleetd.supervisor.servers import EmbeddedServers, generate_encryption_keys

DEVICES = int(os.environ.get("BENCH_DEVICES", "100000"))
BATCH = 1000
ONE_BY_ONE = 300
ANALYZE = "from django.db import connection; connection.cursor().execute('ANALYZE')"
REPORT_BATCH = 200
MAKE_STATES = """
    INSERT INTO devices_device_state (device_id, organization_id, connectivity,
        previous_connectivity, disconnect_reason, heartbeat_seconds, ip_address, boot_id,
        clock_skew_seconds, cpu_ratio, memory_ratio, disk_ratio, uptime_seconds)
    SELECT id, organization_id, 'never_seen', 'never_seen', '', 60, '', '', 0, 0, 0, 0, 0
    FROM devices_device
"""
IDLE, BUSY = "nothing moves", "at full rate"
IDLE_SECONDS = 10
STEPS = ("downloading", "downloaded", "installing", "verifying", "succeeded")
PAGE_P95_MS = 250


@contextmanager
def servers() -> Iterator[None]:
    """PostgreSQL and Valkey in a folder that is gone afterwards, migrated; Django is set up."""
    with tempfile.TemporaryDirectory(prefix="fleetd-bench-") as folder:
        os.environ["FLEETD_DATA_DIR"] = folder
        layout = DataLayout(Path(folder))
        layout.logs.mkdir(parents=True)
        write_private(layout.secret_key, secrets.token_urlsafe(48))
        generate_encryption_keys(layout)
        embedded = EmbeddedServers(environment(), layout)
        running = []
        try:
            for spec, is_ready in embedded.specs():
                running.append((spawn(spec), spec))
                while not is_ready():
                    time.sleep(0.05)
            embedded.announce()
            _migrate()
            yield
        finally:
            for process, spec in reversed(running):
                stop(process, spec)
            embedded.close()


def _migrate() -> None:
    """As the owner of the schema; then this process works as the application."""
    import django

    variables = {**os.environ, "FLEETD_DB_ROLE": "owner"}
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=variables, check=True)
    os.environ["DJANGO_SETTINGS_MODULE"] = "fleetd.settings.base"
    django.setup()


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


class Bench:
    """One organization with many devices, and rollouts over them."""

    def __init__(self) -> None:
        from apps.core.actors import Call, Source, system_actor
        from apps.organizations.selectors import actor_for_user
        from apps.organizations.services.setup import create_organization

        made = create_organization(
            None, name="Bench", email="bench@example.com", password=secrets.token_urlsafe(16)
        )
        self.user_id: UUID = made.owner.id
        self.person = actor_for_user(made.owner, Call(Source.CLI))
        self.platform = system_actor(made.organization.id, source=Source.AGENT)
        self.device_ids: list[UUID] = self.in_tenant(self._make_devices)
        self.version = 0

    def in_tenant(self, work: Callable[[], Any]) -> Any:
        """One transaction of the organization, committed."""
        from apps.core.tenancy import tenant

        with tenant(self.person.organization_id):
            return work()

    def _make_devices(self) -> list[UUID]:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO devices_device (id, organization_id, name, lifecycle,"
                " lifecycle_reason, hardware_id, hostname, serial, model, architecture, os_name,"
                " os_version, kernel, agent_version, tags, inventory, installed, created_at)"
                " SELECT gen_random_uuid(), %s, 'device-' || n, 'active', '', 'hw-' || n, '', '',"
                " '', '', '', '', '', '', '{}', '{}', '{}', now() FROM generate_series(1, %s) n"
                " RETURNING id",
                [self.person.organization_id, DEVICES],
            )
            made = [row[0] for row in cursor.fetchall()]
            cursor.execute(MAKE_STATES)
            return made

    def draft(self, percents: tuple[int, ...] = (100,)) -> Any:
        """A rollout to every device, not started."""
        from apps.updates.domain.plan import simple_plan
        from apps.updates.services.artifacts import store_artifact
        from apps.updates.services.planning import create_rollout
        from apps.updates.services.releases import create_release
        from apps.updates.types import NewComponent, Target

        self.version += 1

        def make() -> Any:
            file = io.BytesIO(str(self.version).encode())
            artifact = store_artifact(self.person, name="script", file=file)
            part = NewComponent("script", "script", artifact.id)
            release = create_release(
                self.person, name="bench", version=str(self.version), components=[part]
            )
            return create_rollout(
                self.person,
                name="bench",
                release_id=release.id,
                target=Target(),
                plan=simple_plan(percents),
            )

        return self.in_tenant(make)

    def analyze(self) -> None:
        """What autovacuum does within a minute after many rows were written."""
        command = [sys.executable, "manage.py", "shell", "-c", ANALYZE]
        variables = {**os.environ, "FLEETD_DB_ROLE": "owner"}
        subprocess.run(command, cwd=ROOT, env=variables, check=True, capture_output=True)

    def start(self, rollout: Any) -> None:
        """The product's way: one INSERT … SELECT."""
        from apps.updates.services.rollouts import start_rollout

        self.in_tenant(lambda: start_rollout(self.person, rollout.id))

    def bulk_create(self, rollout: Any) -> None:
        """The other side: the same rows through the ORM, in order, as objects."""
        from apps.core import clock
        from apps.updates.domain.plan import order_key
        from apps.updates.models import Deployment

        at = clock.now()

        def work() -> None:
            ordered = sorted(self.device_ids, key=lambda device: order_key(device, rollout.id))
            Deployment.objects.for_org(self.person.organization_id).bulk_create(
                [
                    Deployment(
                        organization_id=self.person.organization_id,
                        rollout_id=rollout.id,
                        device_id=device_id,
                        release_id=rollout.release_id,
                        phase_index=0,
                        position=position,
                        created_at=at,
                        state_changed_at=at,
                    )
                    for position, device_id in enumerate(ordered)
                ],
                batch_size=10_000,
            )

        self.in_tenant(work)

    def claim(self, device_ids: list[UUID]) -> list[Any]:
        """What a gateway does for the devices that it holds."""
        from apps.updates.services.offers import claim_deployments

        return list(self.in_tenant(lambda: claim_deployments(self.platform, device_ids)))

    def report(self, offers: list[Any], sequence: int, step: str) -> None:
        """One transaction for all of these reports."""
        from apps.updates.services.offers import apply_reports
        from apps.updates.types import Report

        reports = [Report(o.device_id, o.deployment_id, sequence, step) for o in offers]
        self.in_tenant(lambda: apply_reports(self.platform, reports))

    def open_phase(self, rollout: Any) -> float:
        """Seconds in which the scheduler passes an empty gate and opens the next phase."""
        from apps.updates.services.scheduling import advance_rollout

        return seconds(lambda: self.in_tenant(lambda: advance_rollout(self.platform, rollout.id)))


def measure(bench: Bench) -> Result:
    """All sides in one run."""
    bench.analyze()
    by_objects = seconds(lambda: bench.bulk_create(bench.draft()))
    rollout = bench.draft()
    by_statement = seconds(lambda: bench.start(rollout))
    bench.analyze()

    batches = [bench.device_ids[n : n + BATCH] for n in range(0, DEVICES, BATCH)]
    one_by_one, batches = batches[0][:ONE_BY_ONE], batches[1:]
    singly = ONE_BY_ONE / seconds(lambda: [bench.claim([device]) for device in one_by_one])
    offers: list[Any] = []
    times = [seconds(lambda b=batch: offers.extend(bench.claim(b))) for batch in batches]
    claims = len(offers) / sum(times)

    reported = [
        seconds(lambda n=n: bench.report(offers[n : n + REPORT_BATCH], 1, "downloading"))
        for n in range(0, min(20_000, len(offers)), REPORT_BATCH)
    ]
    grouped = REPORT_BATCH / statistics.median(reported)
    alone = ONE_BY_ONE / seconds(
        lambda: [bench.report([offer], 2, "downloaded") for offer in offers[:ONE_BY_ONE]]
    )

    phased = bench.draft((1, 50, 100))
    bench.start(phased)
    opening = finish_first_phase(bench, phased)
    pages = watch_pages(bench)
    slowest = max(side.details["p95_ms"] for side in pages if side.name.startswith(BUSY))
    sides = [
        Side("targets, one INSERT … SELECT", DEVICES / by_statement, "rows/s", {"s": by_statement}),
        Side("targets, ORM bulk_create", DEVICES / by_objects, "rows/s", {"s": by_objects}),
        Side(f"claims, {BATCH} devices at once", claims, "claims/s"),
        Side("claims, one by one", singly, "claims/s"),
        Side(f"reports, {REPORT_BATCH} in a transaction", grouped, "reports/s"),
        Side("reports, a transaction each", alone, "reports/s"),
        Side("opening a phase", 1 / opening, "phases/s", {"ms": opening * 1000}),
        *pages,
    ]
    goals = [
        Goal("start over 100,000 targets within 2 s", by_statement, by_statement <= 2),
        Goal("open a phase within 10 ms", opening * 1000, opening <= 0.010),
        Goal("30,000 claims/s", claims, claims >= 30_000),
        Goal("reports in groups at least 7 times as fast", grouped / alone, grouped >= 7 * alone),
        Goal(
            f"every page within {PAGE_P95_MS} ms (p95) while devices claim and report",
            slowest,
            slowest <= PAGE_P95_MS,
        ),
    ]
    title = f"rollout over {DEVICES:,} devices"
    return Result("P6", title, "python -m bench rollout_100k", sides, goals)


def finish_first_phase(bench: Bench, rollout: Any) -> float:
    """Ends the first phase as skipped, so that only the gate and the pointer are timed."""
    from apps.updates.domain.states import DeploymentState
    from apps.updates.models import Deployment, Phase

    def skip() -> None:
        rows = Deployment.objects.for_org(bench.person.organization_id)
        first = rows.filter(rollout_id=rollout.id, phase_index=0)
        first.update(state=DeploymentState.SKIPPED.value)
        phases = Phase.objects.for_org(bench.person.organization_id)
        phase = phases.get(rollout_id=rollout.id, index=0)
        phase.waiting, phase.skipped = 0, phase.total
        phase.save(update_fields=["waiting", "skipped"])

    bench.in_tenant(skip)
    return bench.open_phase(rollout)


def put_aside(bench: Bench) -> None:
    """Takes the devices out of what was measured before, so that they are free."""
    from apps.updates.domain.states import DeploymentState
    from apps.updates.models import Deployment

    rows = Deployment.objects.for_org(bench.person.organization_id)
    rows.update(state=DeploymentState.SKIPPED.value)


def watch_pages(bench: Bench) -> list[Side]:
    """How fast pages answer while a rollout waits, and while devices claim and report at full rate.

    The reader and the devices' work share the machine's cores, as on a small server.
    """
    bench.in_tenant(lambda: put_aside(bench))
    rollout = bench.draft()
    bench.start(rollout)
    bench.analyze()
    reader = PageReader(bench.user_id, rollout.id)
    reader.begin(IDLE)
    time.sleep(IDLE_SECONDS)
    reader.begin(BUSY)
    for n in range(0, DEVICES, BATCH):
        offers = bench.claim(bench.device_ids[n : n + BATCH])
        for k in range(0, len(offers), REPORT_BATCH):
            for sequence, step in enumerate(STEPS, start=1):
                bench.report(offers[k : k + REPORT_BATCH], sequence, step)
    return reader.end()


if __name__ == "__main__":
    with servers():
        keep(measure(Bench()))

"""P10: what rights in some device groups only cost on the device list.

The same page of 50 devices, as REST answers it, for people of one organization: one who sees
every device, and others whose teams own some of its groups, static ones and ones that follow a
tag. All take turns, page by page, so that the machine treats them alike.
"""

import json
import os
import secrets
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from bench.harness import ROOT, Goal, Result, Side, keep
from bench.rollout_100k import ANALYZE, MAKE_STATES, seconds, servers

DEVICES = int(os.environ.get("BENCH_DEVICES", "100000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "150"))
EXPLAIN = "BENCH_EXPLAIN" in os.environ
GROUPS = 100
"""Half of them static; each has one hundredth of the devices. Static groups and sites cut across
each other, so that devices stand in one of each kind."""

_MAKE_DEVICES = """
    INSERT INTO devices_device (id, organization_id, name, lifecycle, lifecycle_reason,
        hardware_id, hostname, serial, model, architecture, os_name, os_version, kernel,
        agent_version, tags, inventory, installed, created_at)
    SELECT gen_random_uuid(), %s, 'device-' || lpad(n::text, 7, '0'), 'active', '', 'hw-' || n,
        'host-' || n, '', 'Gateway 3', 'aarch64', 'Debian', '12', '6.1', '0.1.0',
        ARRAY['lab', 'site=' || (n * 7 %% 100)] || CASE n %% 2000 WHEN 0 THEN ARRAY['rare']
        ELSE ARRAY[]::text[] END,
        '{}', '{"app": "1.0.0"}', now()
    FROM generate_series(1, %s) n
"""
_MAKE_MEMBERS = """
    INSERT INTO devices_group_member (id, organization_id, group_id, device_id)
    SELECT gen_random_uuid(), organization_id, %s, id FROM devices_device
    WHERE substr(name, 8)::int %% %s = %s
"""


class Bench:
    """One organization with many devices in many groups, and people who see more or less."""

    def __init__(self) -> None:
        from apps.core.actors import Call, Source
        from apps.organizations.selectors import actor_for_user
        from apps.organizations.services.setup import create_organization

        made = create_organization(
            None, name="Bench", email="bench@example.com", password=secrets.token_urlsafe(16)
        )
        self.organization_id = made.organization.id
        self.owner = actor_for_user(made.owner, Call(Source.CLI))
        self.in_tenant(self._make_devices)
        self.groups: list[Any] = self.in_tenant(self._make_groups)
        self.rare: list[Any] = self.in_tenant(self._make_small_groups)

    def in_tenant(self, work: Callable[[], Any]) -> Any:
        """One transaction of the organization, committed."""
        from apps.core.tenancy import tenant

        with tenant(self.organization_id):
            return work()

    def _make_devices(self) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(_MAKE_DEVICES, [self.organization_id, DEVICES])
            cursor.execute(MAKE_STATES)

    def _make_groups(self) -> list[Any]:
        """Static and tag groups in turn, each of one hundredth of the devices."""
        made = []
        for number in range(GROUPS // 2):
            made.append(self._group(f"static {number:02}", every=100, rest=number))
            made.append(self._group(f"site {number:02}", tag=f"site={number}"))
        return made

    def _make_small_groups(self) -> list[Any]:
        """Two groups of a two-thousandth each: few devices, far apart in the list."""
        return [self._group("few", every=2000, rest=1), self._group("rare", tag="rare")]

    def _group(self, name: str, *, tag: str = "", every: int = 0, rest: int = 0) -> Any:
        from django.db import connection

        from apps.devices.services.groups import create_device_group

        group = create_device_group(self.owner, name=name, tag=tag)
        if every:
            with connection.cursor() as cursor:
                cursor.execute(_MAKE_MEMBERS, [group.id, every, rest])
        return group

    def analyze(self) -> None:
        """Brings the planner's statistics up to date, as autovacuum does in time."""
        variables = {**os.environ, "FLEETD_DB_ROLE": "owner"}
        command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", ANALYZE]
        subprocess.run(command, cwd=ROOT, env=variables, check=True, capture_output=True)

    def viewer(self, *teams: list[Any]) -> Any:
        """Somebody who is a viewer in teams that own these groups, and nothing elsewhere."""
        from dataclasses import replace

        from apps.core.authz import Role, permissions_of
        from apps.core.rights import Grant

        def own() -> list[Grant]:
            return [self._team(groups, permissions_of(Role.VIEWER)) for groups in teams]

        return replace(self.owner, permissions=frozenset(), grants=tuple(self.in_tenant(own)))

    def _team(self, groups: list[Any], permissions: frozenset[str]) -> Any:
        from apps.core import clock
        from apps.core.rights import Grant
        from apps.teams.models import Team

        self.made = getattr(self, "made", 0) + 1
        team = Team(
            organization_id=self.organization_id,
            name=f"team {self.made}",
            created_at=clock.now(),
        )
        team.save(force_insert=True)
        for group in groups:
            group.team = team
            group.save(update_fields=["team"])
        return Grant(permissions, "viewer in a team", team_id=team.id)

    def page(self, actor: Any, **filters: str) -> float:
        """The time of one page of 50 devices as the REST view answers it, JSON and all.

        Who is calling is known already: what that costs is P10's other half.
        """
        from django.test import RequestFactory
        from django.urls import resolve

        path = "/api/v1/devices"
        request: Any = RequestFactory().get(path, {"page_size": "50", **filters})
        request.find_actor, request.request_id, request.client_address = lambda: actor, "", None
        view, answers = resolve(path).func, []
        taken = seconds(lambda: answers.append(view(request).content))
        if len(json.loads(answers[0])["items"]) != 50:
            raise RuntimeError("not a full page")
        return taken

    def reach(self, actor: Any) -> int:
        """How many devices somebody sees."""
        from apps.devices.selectors import count_devices

        return sum(self.in_tenant(lambda: count_devices(actor)).values())

    def explain(self, actor: Any, **filters: Any) -> str:
        """How PostgreSQL finds the page."""
        from apps.devices.models import Device
        from apps.devices.permissions import VIEW_DEVICES
        from apps.devices.selectors.places import within

        def plan() -> str:
            rows = Device.objects.for_org(self.organization_id).filter(**filters)
            seen = within(actor, VIEW_DEVICES, rows.select_related("state"))
            return str(seen.order_by("name", "id")[:51].explain(analyze=True, buffers=True))

        return str(self.in_tenant(plan))


def measure(bench: Bench) -> Result:
    """All people in turn, with and without a tag filter."""
    ten, half = bench.groups[:10], bench.groups[10:60]
    people = {
        "every device": bench.owner,
        "3 teams, 10 groups": bench.viewer(ten[:3], ten[3:6], ten[6:]),
        "1 team, 50 groups": bench.viewer(half),
        "1 team, 2 small groups": bench.viewer(bench.rare),
    }
    bench.analyze()
    for name, actor in people.items():
        if EXPLAIN:
            print(name, bench.explain(actor), sep="\n")
    times: dict[str, list[float]] = {name: [] for name in people}
    tagged: dict[str, list[float]] = {name: [] for name in people}
    for number in range(ROUNDS + 5):
        for name, actor in people.items():
            taken, filtered = bench.page(actor), bench.page(actor, tag="lab")
            if number >= 5:  # the first ones fill caches
                times[name].append(taken)
                tagged[name].append(filtered)
    return _result(bench, people, times, tagged)


def _result(
    bench: Bench,
    people: dict[str, Any],
    times: dict[str, list[float]],
    tagged: dict[str, list[float]],
) -> Result:
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    with_tag = {name: statistics.median(taken) for name, taken in tagged.items()}
    sides = [
        Side(
            f"{name} ({DEVICES if name == 'every device' else bench.reach(actor):,} in sight)",
            1 / medians[name],
            "pages/s",
            {"ms": medians[name] * 1000, "ms with a tag": with_tag[name] * 1000},
        )
        for name, actor in people.items()
    ]
    goals = []
    for name in list(people)[1:]:
        ratio = medians[name] / medians["every device"]
        goals.append(Goal(f"{name}: at most 1.2 times the page of all", ratio, ratio <= 1.2))
        ratio = with_tag[name] / with_tag["every device"]
        goals.append(Goal(f"{name}, with a tag: at most 1.2 times", ratio, ratio <= 1.2))
    return Result(
        "P10-filter",
        f"device list of {DEVICES:,} devices, page of 50, by what people may see",
        "python -m bench permission_filter",
        sides,
        goals,
    )


if __name__ == "__main__":
    with servers():
        keep(measure(Bench()))

"""`fleetd demo`: a fleet and a rollout without a finger lifted, seeded once."""

import re

import psycopg

from fleetd.settings.layout import read_private
from tests.platform.runner import FleetdUp, still_alive, wait_for
from tests.platform.test_supervision import answers

DEVICES = 3


def count_as_superuser(running: FleetdUp, table: str) -> int:
    """Rows of all organizations, which only a superuser of the embedded server sees."""
    url = read_private(running.layout.database_url("owner"))
    socket = re.search(r"host=([^&]+)", url)[1].replace("%2F", "/")
    password = read_private(running.layout.secrets / "database-superuser-password")
    with psycopg.connect(
        host=socket, user="postgres", password=password, dbname="fleetd"
    ) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_a_demonstration_shows_a_fleet_and_is_seeded_once(tmp_path):
    running = FleetdUp(tmp_path / "var", command=f"demo --devices {DEVICES}").start()
    wait_for(lambda: re.search(r"rollout +(running|completed)", running.output), 90, "a rollout")
    assert answers(running.url)
    password = re.search(r"Password +(\S+)\n", running.output)[1]
    assert len(password) >= 16
    assert password not in (running.layout.logs / "seed.log").read_text()
    assert re.search(rf"Signing keys +{running.layout.demo_signing}\n", running.output)
    token = read_private(running.layout.secrets / "demo-enrollment-token")
    processes = running.processes()
    assert not [p for p in processes if token in " ".join(p.cmdline())]
    wait_for(lambda: count_as_superuser(running, "devices_device") == DEVICES, 60, "devices")
    assert running.stop() == 0
    assert still_alive(processes) == []

    again = FleetdUp(tmp_path / "var", command=f"demo --devices {DEVICES}")
    again.environment = running.environment
    again.start()
    wait_for(lambda: re.search(r"rollout +(running|completed)", again.output), 90, "a rollout")
    assert "as printed on the first start" in again.output
    assert "fleetctl sign release NAME VERSION --keys" in again.output
    assert count_as_superuser(again, "organizations_organization") == 1
    assert count_as_superuser(again, "updates_rollout") == 1
    assert count_as_superuser(again, "devices_device") == DEVICES
    assert again.stop() == 0

"""A rollout over simulated agents while workers and gateways are killed with -9, again and again.

Forty agents and four kills; `KILL_AGENTS=1000 KILLS=10` for the whole proof:

    KILL_AGENTS=1000 KILLS=10 pytest -n0 -s tests/platform/test_survive_kills.py
"""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from fleetd.settings.layout import read_private
from tests.platform.runner import FleetdUp, wait_for
from tests.platform.test_supervision import CHILDREN

AGENTS = int(os.environ.get("KILL_AGENTS", "40"))
KILLS = int(os.environ.get("KILLS", "4"))
OWNER, PASSWORD = "owner@acme.test", "correct horse battery staple"
VERSION = "1.1.0"
WAIT = 120 + AGENTS // 2
# How long the scheduler may take to notice a deadline: it looks every few seconds.
SWEEP_SECONDS = 30
OVERDUE = f"""
    SELECT count(*) FROM updates_deployment
    WHERE finished_at IS NULL AND deadline_at < now() - interval '{SWEEP_SECONDS} seconds'
"""
FINAL = {"succeeded", "failed", "rolled_back", "timed_out"}
# Some devices never verify the version: five clean ones more than failures allow let it go on.
GATE = {"kind": "sequential", "acceptable_rate": "0.2", "unacceptable_rate": "0.6"}
PLAN = {"phases": [{"percent": percent, "gate": GATE} for percent in (40, 100)]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetdUp]:
    """A platform with an owner in it."""
    up = FleetdUp(
        tmp_path_factory.mktemp("kills") / "var",
        FLEETD_BOOTSTRAP_EMAIL=OWNER,
        FLEETD_BOOTSTRAP_PASSWORD=PASSWORD,
        FLEETD_BOOTSTRAP_ORG="Acme",
    ).start()
    yield up
    up.stop()


@pytest.fixture
def api(running: FleetdUp) -> Iterator[httpx.Client]:
    """REST as the owner; by key, because a token may run out during the proof."""
    with httpx.Client(base_url=f"{running.url}/api/v1/", timeout=30) as client:
        body = {"email": OWNER, "password": PASSWORD, "organization": "acme"}
        token = client.post("auth/login", json=body).json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        key = client.post("api-keys", json={"name": "proof"}, headers=bearer).json()["secret"]
        client.headers["X-API-Key"] = key
        yield client


@pytest.fixture
def database(running: FleetdUp) -> Iterator[psycopg.Connection[Any]]:
    """The platform's database as superuser, so that rows of all organizations are seen."""
    url = read_private(running.layout.database_url("owner"))
    socket = re.search(r"host=([^&]+)", url)[1].replace("%2F", "/")
    password = read_private(running.layout.secrets / "database-superuser-password")
    with psycopg.connect(
        host=socket, user="postgres", password=password, dbname="fleetd", autocommit=True
    ) as connection:
        yield connection


@pytest.fixture
def agents(running: FleetdUp, api: httpx.Client, tmp_path: Path) -> Iterator[Path]:
    """Simulated agents, all enrolled; the folder in which they remember what they did."""
    token = made(api, "enrollment-tokens", name="proof", max_uses=AGENTS)
    command = (
        f"fleetctl.cli sim up --server {running.url} --count {AGENTS} --ramp {AGENTS // 20}s"
        f" --step-seconds 2 --fail-verify {VERSION}=0.05 --installed app=1.0.0"
        f" --state-dir {tmp_path / 'sim'}"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", *command.split()],
        env={**running.environment, "FLEETD_ENROLLMENT_TOKEN": token["secret"]},
        stderr=(tmp_path / "sim.log").open("wb"),
        start_new_session=True,
    )
    yield tmp_path / "sim"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0, (tmp_path / "sim.log").read_text()[-2000:]


def made(api: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = api.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def start_rollout(api: httpx.Client) -> str:
    """A rollout of a new release to all agents."""
    files = {"file": ("app.bin", os.urandom(1024) * 64)}
    answer = api.post("artifacts", files=files)
    assert answer.status_code == 201, answer.text
    component = {"kind": "binary", "name": "app", "target": "/opt/app"}
    component["artifact_id"] = answer.json()["id"]
    release = made(api, "releases", name="app", version=VERSION, components=[component])
    made_rollout = made(
        api,
        "rollouts",
        name="Proof",
        release_id=release["id"],
        plan=PLAN,
        deployment_timeout_seconds=300,
    )
    rollout_id = made_rollout["id"]
    for verb in ("submit", "start"):
        answer = api.post(f"rollouts/{rollout_id}:{verb}")
        assert answer.status_code == 200, answer.text
    return rollout_id


def kill(running: FleetdUp, name: str) -> None:
    """Kills a child of the platform, and waits until there is another one."""
    child = running.child(*CHILDREN[name])
    reports = running.output.count(f"{name:<10} is back")
    for process in (*child.children(recursive=True), child):
        process.kill()
    wait_for(lambda: running.output.count(f"{name:<10} is back") > reports, 60, f"{name} is back")


def test_no_device_installs_twice_or_stays_behind_whatever_is_killed(
    running, api, agents, database
):
    connected = "SELECT count(*) FROM devices_device_state WHERE connectivity = 'online'"
    wait_for(lambda: database.execute(connected).fetchone() == (AGENTS,), WAIT, "all are online")
    rollout_id = start_rollout(api)
    states = "SELECT state, count(*) FROM updates_deployment GROUP BY state"

    def finished() -> int:
        counts = dict(database.execute(states).fetchall())
        return sum(count for state, count in counts.items() if state in FINAL)

    began = time.monotonic()
    for number in range(KILLS):
        # Spread over the rollout, so that each kill meets devices at work.
        goal = AGENTS * number // (KILLS + 1)
        wait_for(lambda goal=goal: finished() >= goal, WAIT, f"{goal} of {AGENTS} have ended")
        kill(running, ("gateway", "worker")[number % 2])
        assert database.execute(OVERDUE).fetchone() == (0,)
    wait_for(lambda: finished() == AGENTS, WAIT, "every device has ended")
    wait_for(
        lambda: api.get(f"rollouts/{rollout_id}").json()["state"].lower().endswith("completed"),
        60,
        "the rollout has ended",
    )
    assert database.execute(OVERDUE).fetchone() == (0,)
    seconds = time.monotonic() - began
    ends = database.execute(states).fetchall()
    sys.stdout.write(f"\n{AGENTS} agents, {KILLS} kills, {seconds:.0f} s: {ends}\n")
    check_installations(agents, database)
    replay = [sys.executable, "-m", "fleetd.cli", "replay-rollout", rollout_id]
    done = subprocess.run(replay, env=running.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def check_installations(agents: Path, database: psycopg.Connection[Any]) -> None:
    """What devices did to themselves agrees with what the platform believes."""
    with sqlite3.connect(agents / "sim.sqlite3") as remembered:
        applied = remembered.execute("SELECT number, deployment_id FROM applied").fetchall()
    times = Counter(applied)
    assert [which for which, count in times.items() if count > 1] == []
    rows = database.execute("SELECT id::text, state FROM updates_deployment").fetchall()
    ended = {"succeeded", "failed", "rolled_back"}
    assert {id_ for id_, state in rows if state in ended} <= {id_ for _, id_ in applied}
    assert len({number for number, _ in applied}) == len(applied) == len(rows)
    assert database.execute("SELECT max(offers) FROM updates_deployment").fetchone() == (1,)

"""`fleetd check-isolation` as it is shipped: what it prints, how it ends, what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psycopg
import pytest

from fleetd.supervisor import roles
from tests.platform_servers import SUPERUSER, test_platform

SECONDS = 180


@pytest.fixture
def no_scratch_left(django_db_setup: None) -> Iterator[None]:
    """Whatever happens, no scratch database stays."""
    yield
    assert _scratch_databases() == []


def _scratch_databases() -> list[str]:
    with psycopg.connect(test_platform.url(SUPERUSER, "postgres")) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'fleetd\\_check\\_%'"
        )
        return [name for (name,) in rows.fetchall()]


def _start(*arguments: str, user: str = SUPERUSER, **changes: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FLEETD_")}
    environment |= {"DATABASE_URL": test_platform.url(roles.APP), "PYTHONPATH": os.getcwd()}
    environment["FLEETD_DATA_DIR"] = str(test_platform.layout.root)
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "fleetd.isolation", "--json", *arguments),
            *("--database-url", test_platform.url(user, "postgres")),
        ],
        env=environment | {"DJANGO_SETTINGS_MODULE": "fleetd.settings.base"} | changes,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Shells start what they put in the background with SIGINT ignored, and children inherit it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_the_doors_that_were_asked_for_are_walked(no_scratch_left: None) -> None:
    process = _start("--door", "sql", "--door", "tasks")
    output, errors = process.communicate(timeout=SECONDS)
    found = json.loads(output)
    assert (process.returncode, found["total"]["leaks"], found["total"]["not_walked"]) == (
        0,
        [],
        [],
    ), errors
    assert [door["door"] for door in found["doors"]] == ["world", "sql", "tasks"]
    assert found["total"]["calls"] > 200


def test_a_planted_leak_ends_with_1_and_its_name(no_scratch_left: None) -> None:
    settings = "tests.isolation.planted_settings"
    process = _start("--door", "tasks", DJANGO_SETTINGS_MODULE=settings)
    output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, errors
    leaks = json.loads(output)["total"]["leaks"]
    assert (
        "tasks: leaky.rename other_id: changes rows of theirs in organizations_organization"
        in leaks
    )


def test_a_role_that_may_not_create_databases_is_told_so(no_scratch_left: None) -> None:
    process = _start("--door", "tasks", user=roles.OWNER)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert "the role fleetd_owner may not create databases" in errors
    assert "--database-url" in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_scratch_database_is_dropped_when_it_is_stopped(
    number: signal.Signals, no_scratch_left: None
) -> None:
    process = _start("--door", "sql")
    deadline = time.monotonic() + SECONDS
    while not _scratch_databases() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, errors

"""S69: one unbroken chain per organization, whatever happens to those who write it.

Given 8 parallel writers on 4 organizations for 60 s with one kill -9, then there is one unbroken
chain per organization, without gaps and forks, and at least 500 entries a second in total.

The suite runs it for a few seconds; `FLEETD_BAR_SECONDS=60` runs all of it, and only then is the
rate asserted. The rate is printed each time.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.audit.domain.chain import GENESIS
from apps.audit.models import AuditEntry, AuditHead
from apps.audit.selectors import find_broken_entry
from apps.core.tenancy import tenant
from tests import factories
from tests.audit.support import audit, own_places

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = float(os.environ.get("FLEETD_BAR_SECONDS", "3"))
WHOLE = 60
RATE = 500
Writers = subprocess.Popen[str]


@pytest.fixture
def organizations(transactional_db: None, redis_url: str) -> list[Any]:
    """Four of them, empty."""
    return [factories.organization(f"Org {n}").id for n in range(4)]


@pytest.fixture
def writers(organizations: list[Any]) -> Iterator[list[Writers]]:
    """Eight writers, two to an organization, in three processes that are ready to begin.

    The first process has one of them: it is the one to be killed.
    """
    command = [sys.executable, "-m", "tests.audit.writers"]
    shares = (
        [SECONDS + 120, *organizations[:1]],  # as long as it takes until it is killed
        [SECONDS, *organizations],
        [SECONDS, *organizations[1:]],
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "agent")])}
    started = [
        subprocess.Popen(
            [*command, *map(str, share)], cwd=ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        for share in shares
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    yield started
    for process in started:
        process.kill()
        process.communicate()


def begin(process: Writers) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def written_by(process: Writers, organizations: list[Any]) -> int:
    total = 0
    for organization_id in organizations:
        with tenant(organization_id):
            rows = AuditEntry.objects.for_org(organization_id)
            total += rows.filter(changes__process=process.pid).count()
    return total


def wait_until_writing(process: Writers, organizations: list[Any]) -> None:
    deadline = time.monotonic() + 30
    while written_by(process, organizations) < 5:
        assert time.monotonic() < deadline, "the writers do not write"
        time.sleep(0.05)


def test_s69_writers_and_a_kill_leave_one_chain_per_organization(
    organizations: list[Any], writers: list[Writers], settings: Any, tmp_path: Path
) -> None:
    own_places(settings, tmp_path)
    began = time.monotonic()
    for process in writers:
        begin(process)
    killed, *survivors = writers
    wait_until_writing(killed, organizations)
    killed.kill()  # SIGKILL, in the middle of a transaction
    acknowledged = [int(p.communicate(timeout=SECONDS + 60)[0]) for p in survivors]
    took = time.monotonic() - began

    total = 0
    for organization_id in organizations:
        with tenant(organization_id):
            assert find_broken_entry(organization_id) is None
            rows = AuditEntry.objects.for_org(organization_id).order_by("sequence")
            numbers = list(rows.values_list("sequence", flat=True))
            previous = [bytes(p) for p in rows.values_list("previous_hash", flat=True)]
            head = AuditHead.objects.for_org(organization_id).get()
            last = rows.last()
        assert numbers == list(range(1, len(numbers) + 1))  # no gaps
        assert len({*previous}) == len(previous)  # no forks: nothing is followed twice
        assert previous[0] == GENESIS
        assert (head.sequence, bytes(head.hash)) == (len(numbers), bytes(last.hash))
        total += len(numbers)
    assert [written_by(p, organizations) for p in survivors] == acknowledged
    assert audit("verify")[0] == 0
    rate = total / took
    sys.stdout.write(
        f"\nS69: {total} entries in {took:.1f} s, {rate:.0f}/s, 8 writers, 4 organizations\n"
    )
    if SECONDS >= WHOLE:
        assert rate >= RATE

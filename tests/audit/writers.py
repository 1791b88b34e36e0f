"""A process that adds audit entries from several threads until it is told to stop or killed.

`python -m tests.audit.writers SECONDS ORGANIZATION…`: one writer for each organization named. It
prints `ready`, waits for a line, writes, and prints how many entries were acknowledged.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import django


def write(organization_id: UUID, until: float) -> int:
    """Adds entries, each in a transaction of its own; how many were committed."""
    from django.db import connection

    from apps.audit.services.entries import record
    from apps.core.actors import system_actor
    from apps.core.tenancy import tenant

    actor, count = system_actor(organization_id), 0
    try:
        while time.monotonic() < until:
            with tenant(organization_id):
                record(actor, "test.write", changes={"process": os.getpid(), "n": count})
            count += 1
    finally:
        connection.close()
    return count


def main(arguments: list[str]) -> int:
    """Runs the writers."""
    django.setup()
    organizations = [UUID(text) for text in arguments[1:]]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    until = time.monotonic() + float(arguments[0])
    with ThreadPoolExecutor(len(organizations)) as pool:
        counts = pool.map(lambda each: write(each, until), organizations)
        sys.stdout.write(f"{sum(counts)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

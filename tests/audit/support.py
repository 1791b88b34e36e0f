"""What tests of the audit trail share: places of their own, and somebody who tampers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from django.core.management import call_command
from django.db import connections

from apps.audit.services.entries import record
from apps.audit.services.signing import ensure_signing_key
from apps.core.actors import system_actor
from apps.core.tenancy import tenant
from tests.platform_servers import SUPERUSER, test_platform


def own_places(settings: Any, folder: Path) -> None:
    """Gives a test a signing key and a second place of its own."""
    settings.AUDIT_KEY_FILE = folder / "secrets" / "audit.key"
    settings.AUDIT_KEY_IS_GIVEN = False
    settings.AUDIT_EXPORT_DIR = folder / "second-place"
    ensure_signing_key()


def write_entries(organization_id: UUID, count: int, action: str = "a.b") -> None:
    """Adds entries as the system."""
    with tenant(organization_id):
        for number in range(count):
            record(system_actor(organization_id), action, changes={"n": number, "word": "ümläut"})


@contextmanager
def intruder(organization_id: UUID) -> Iterator[psycopg.Connection[Any]]:
    """Somebody who has become the database's superuser: no right and no policy holds."""
    with psycopg.connect(test_platform.url(SUPERUSER), autocommit=True) as connection:
        connection.execute("SELECT set_config('app.org_id', %s, false)", [str(organization_id)])
        yield connection


@contextmanager
def as_owner(settings: Any) -> Iterator[None]:
    """Django's connection as the schema's owner, as `fleetd audit prune` has it."""
    from tests.platform_servers import connected_as_owner

    name = connections.settings["default"]["NAME"]
    settings.DB_ROLE = "owner"
    with connected_as_owner():
        connections.settings["default"]["NAME"] = name
        connections.close_all()
        try:
            yield
        finally:
            settings.DB_ROLE = "app"


def audit(*arguments: str) -> tuple[int, str]:
    """Runs `fleetd audit`; exit code and what it says."""
    import io

    out = io.StringIO()
    try:
        call_command("audit", *arguments, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()

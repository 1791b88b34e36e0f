"""`fleetd up` beside servers that somebody else runs, as in compose and production."""

import secrets

import psycopg
import pytest

from fleetd.supervisor import container_secrets, roles
from tests.platform.runner import FleetdUp
from tests.platform.test_supervision import answers
from tests.platform_servers import SUPERUSER, WORKER, test_platform


@pytest.fixture
def external(django_db_setup, redis_url, tmp_path):
    """A database of the suite's server with the product's rights, and URLs in files."""
    name = f"external_{WORKER}"
    test_platform.execute(
        "postgres",
        f"DROP DATABASE IF EXISTS {name}",
        f"CREATE DATABASE {name} OWNER {roles.OWNER}",
    )
    test_platform.execute(name, *roles.database_statements(name))
    for role in (roles.APP, roles.OWNER):
        (tmp_path / role).write_text(test_platform.url(role, name))
    yield {
        "DATABASE_URL_FILE": str(tmp_path / roles.APP),
        "FLEETD_DATABASE_OWNER_URL_FILE": str(tmp_path / roles.OWNER),
        "REDIS_URL": redis_url,
        "FLEETD_SECRET_KEY": secrets.token_urlsafe(48),
    }
    test_platform.execute("postgres", f"DROP DATABASE {name} WITH (FORCE)")


def test_given_servers_are_used_and_none_is_embedded(external, tmp_path):
    running = FleetdUp(tmp_path / "var", **external).start()
    try:
        assert answers(running.url)
        assert not running.child("postgres", "-D")
        assert not running.child("valkey-server")
        assert not running.layout.postgres.exists()
        assert not running.layout.secret_key.exists()
    finally:
        assert running.stop() == 0


def test_without_the_owner_an_empty_schema_is_refused(external, tmp_path):
    del external["FLEETD_DATABASE_OWNER_URL_FILE"]
    running = FleetdUp(tmp_path / "var", **external)
    running.launch()
    assert running.end() == 1
    assert "prepare failed" in running.output


def test_compose_secrets_are_made_once_and_make_the_roles(django_db_setup, tmp_path):
    import os

    owners = dict.fromkeys(("postgres", "fleets"), (os.geteuid(), os.getegid()))
    assert container_secrets.write(tmp_path, owners)
    statements = (tmp_path / "postgres" / "roles.sql").read_text()
    assert not container_secrets.write(tmp_path, owners)
    assert (tmp_path / "postgres" / "roles.sql").read_text() == statements
    for path in tmp_path.rglob("*-*"):
        assert path.stat().st_mode & 0o077 == 0, path
    app_url = (tmp_path / "fleets" / "database-app-url").read_text()
    assert app_url.split(":")[2].split("@")[0] in statements
    with psycopg.connect(test_platform.url(SUPERUSER, "postgres")) as connection:
        # Rolled back: the suite's own roles keep their passwords.
        for statement in container_secrets.contents()["postgres"]["roles.sql"].split(";\n"):
            if statement.startswith(("DO", "ALTER ROLE")):
                connection.execute(statement.encode())
        connection.rollback()

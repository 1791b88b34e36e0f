"""Fixtures of the suite's own servers; `platform_servers` starts them."""

from collections.abc import Iterator

import psycopg
import pytest

from fleetd.supervisor import roles
from tests.platform.runner import FleetdUp
from tests.platform_servers import (
    WORKER,
    flush_database,
    migrate_main_database,
    test_platform,
)


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: object) -> Iterator[None]:
    """Replaces pytest-django's: our database exists already or is made here."""
    from django.db import connections
    from django.test import TransactionTestCase

    with django_db_blocker.unblock():
        if WORKER == "main":
            migrate_main_database()
        else:
            test_platform.create_worker_database()
    TransactionTestCase._fixture_teardown = lambda self: flush_database()
    test_platform.start_valkey()
    yield
    with django_db_blocker.unblock():
        connections.close_all()


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The URL of this process's Valkey, which runs."""
    test_platform.start_valkey()
    return test_platform.valkey.url


@pytest.fixture(scope="session")
def app_url(django_db_setup: None) -> str:
    """The migrated test database as the application role."""
    return test_platform.url(roles.APP)


@pytest.fixture(scope="session")
def owner_url(django_db_setup: None) -> str:
    """The migrated test database as the schema's owner."""
    return test_platform.url(roles.OWNER)


@pytest.fixture
def owner_connection(owner_url: str) -> Iterator[psycopg.Connection]:
    """A connection as the schema's owner, in autocommit. Row security holds for it too."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetdUp]:
    """The whole platform, run by `fleetd up`. Tests that use it lie in tests/platform/."""
    running = FleetdUp(tmp_path_factory.mktemp("platform") / "var").start()
    yield running
    running.stop()

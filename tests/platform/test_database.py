"""The suite's database stands for the product's: same roles, same rights."""

import psycopg
import pytest
from django.db import connection

pytestmark = pytest.mark.django_db


def test_the_application_role_owns_nothing_and_has_no_special_rights():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole FROM pg_roles"
            " WHERE rolname = current_user"
        )
        assert cursor.fetchone() == (False, False, False, False)
        cursor.execute("SELECT count(*) FROM pg_tables WHERE tableowner = current_user")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("fleetd_app",)


def test_the_application_role_cannot_create_or_truncate_tables(app_url):
    with psycopg.connect(app_url, autocommit=True) as app:
        for statement in ("CREATE TABLE public.x ()", "TRUNCATE django_session"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement)


def test_the_owner_connects_to_this_process_own_database(owner_connection):
    rows = owner_connection.execute(
        "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    ).fetchall()
    assert rows == [("fleetd_owner",)]


def test_the_auditor_only_reads(app_url):
    from tests.platform_servers import roles, test_platform

    with psycopg.connect(test_platform.url(roles.AUDITOR), autocommit=True) as auditor:
        assert auditor.execute("SELECT count(*) FROM django_content_type").fetchone()[0] > 0
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            auditor.execute("DELETE FROM django_session")
        auditor.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            auditor.execute("DELETE FROM django_session")


@pytest.mark.django_db(transaction=True)
class TestFlush:
    """Two tests that each leave a row behind: neither may see the other's."""

    def leave_a_session(self):
        from django.contrib.sessions.models import Session
        from django.utils import timezone

        assert Session.objects.count() == 0
        Session.objects.create(session_key="k", session_data="", expire_date=timezone.now())

    def test_first_transaction_test_starts_empty(self):
        self.leave_a_session()

    def test_second_transaction_test_starts_empty(self):
        self.leave_a_session()

    def test_rows_of_migrations_survive_a_flush(self):
        from django.contrib.contenttypes.models import ContentType

        assert ContentType.objects.exists()

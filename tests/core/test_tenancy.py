"""Working in one organization."""

import itertools
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction

from apps.core import clock
from apps.core.ids import uuid7
from apps.core.tenancy import TenantMismatch, UnscopedQuery, credential, tenant
from apps.core.transactions import after_commit
from apps.devices.models import Device
from tests.devices.support import roll_back
from tests.factories import Cast


def setting(name: str = "app.org_id") -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting(%s, true), '')", [name])
        return str(cursor.fetchone()[0])


@pytest.mark.parametrize("ask", ["all", "first", "count"])
@pytest.mark.django_db
def test_a_query_without_an_organization_raises(ask: str) -> None:
    with pytest.raises(UnscopedQuery):
        getattr(Device.objects, ask)()


def test_entering_the_same_organization_again_nests(acme: Cast) -> None:
    with tenant(acme.id):
        with tenant(acme.id):
            pass
        assert setting() == str(acme.id)
        assert Device.objects.for_org(acme.id).count() == 2
    assert setting() == ""


def test_entering_another_organization_is_refused(acme: Cast, globex: Cast) -> None:
    with tenant(acme.id), pytest.raises(TenantMismatch), tenant(globex.id):
        pass
    with tenant(globex.id):
        assert Device.objects.for_org(globex.id).count() == 2


def test_a_failure_inside_leaves_no_organization_behind(acme: Cast, globex: Cast) -> None:
    for failure in (ValueError, KeyboardInterrupt):
        with pytest.raises(failure), tenant(acme.id):
            raise failure
        assert setting() == ""
    with tenant(globex.id):
        assert setting() == str(globex.id)


def test_a_credential_inside_an_organization_is_put_back(acme: Cast) -> None:
    with tenant(acme.id):
        with credential("a"):
            assert setting("app.credential") == "a"
            with credential("b"):
                assert setting("app.credential") == "b"
            assert setting("app.credential") == "a"
        assert setting("app.credential") == ""
        assert setting() == str(acme.id)


def test_a_failed_inner_block_keeps_the_outer_one(acme: Cast) -> None:
    with tenant(acme.id):
        with pytest.raises(ValueError, match="undo"), tenant(acme.id):
            raise ValueError("undo")
        with pytest.raises(ValueError, match="undo"), credential("a"):
            raise ValueError("undo")
        assert Device.objects.for_org(acme.id).count() == 2
        assert setting("app.credential") == ""


@pytest.mark.django_db(transaction=True)
def test_the_next_use_of_a_connection_knows_nothing(acme: Cast) -> None:
    with tenant(acme.id):
        pass
    assert setting() == ""
    with transaction.atomic():
        assert setting() == ""


@pytest.mark.django_db(transaction=True)
def test_threads_do_not_share_an_organization(acme: Cast) -> None:
    seen: list[Any] = []

    def look() -> None:
        try:
            seen.append(setting())
        finally:
            connection.close()

    with tenant(acme.id):
        other = threading.Thread(target=look)
        other.start()
        other.join()
    assert seen == [""]


def test_identifiers_sort_by_time_and_say_version_7() -> None:
    ids = [uuid7() for _ in range(20_000)]
    assert {i.version for i in ids} == {7}
    assert {i.variant for i in ids} == {"specified in RFC 4122"}
    assert all(a < b for a, b in itertools.pairwise(ids))


def test_identifiers_keep_growing_when_the_clock_goes_back_a_little() -> None:
    first = uuid7()
    with time_machine.travel(clock.now() - timedelta(seconds=5), tick=False):
        assert uuid7() > first


def test_identifiers_follow_a_wrong_clock_that_is_put_right() -> None:
    with time_machine.travel(clock.now() + timedelta(days=30), tick=False):
        ahead = uuid7()
    assert uuid7() < ahead


def test_after_commit_runs_after_the_outermost_commit_only(
    acme: Cast, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    done: list[str] = []

    def undone() -> None:
        after_commit(lambda: done.append("undone"))

    with django_capture_on_commit_callbacks(execute=True):
        roll_back(acme.id, undone)
        with tenant(acme.id):
            after_commit(lambda: done.append("kept"))
            assert done == []
    assert done == ["kept"]


@pytest.mark.django_db(transaction=True)
def test_what_runs_after_a_commit_is_in_its_organization_too(acme: Cast) -> None:
    """It stands in the block that has committed: the new transaction has to be told as well."""
    seen: list[int] = []

    def look() -> None:
        with tenant(acme.id):
            seen.append(Device.objects.for_org(acme.id).count())

    with tenant(acme.id):
        after_commit(look)
    assert seen == [2]

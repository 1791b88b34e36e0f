"""Many devices, or one device many times, at the same moment."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from apps.core.errors import FleetdError
from apps.core.tenancy import tenant
from apps.devices.models import Device
from apps.enrollment.models import Enrollment, EnrollmentToken
from apps.enrollment.services.enroll import enroll_device
from tests.enrollment.conftest import CALL, Machine
from tests.factories import Cast

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 6


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """Runs `work` in parallel threads; failures are answers."""

    def run(number: int) -> Any:
        try:
            return work(number)
        except FleetdError as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_a_token_lets_in_exactly_as_many_as_it_says(
    acme: Cast, new_token: Callable[..., Any]
) -> None:
    token = new_token(max_uses=2)
    machines = [Machine(f"machine-{n}") for n in range(THREADS)]
    answers = at_once(lambda n: enroll_device(CALL, machines[n].request(token.secret)))
    assert answers.count("enrollment_token_used_up") == THREADS - 2
    with tenant(acme.id):
        assert Device.objects.for_org(acme.id).count() == 2 + 2
        assert EnrollmentToken.objects.for_org(acme.id).get().uses_left == 0


def test_one_machine_that_asks_many_times_is_one_device(
    acme: Cast, new_token: Callable[..., Any]
) -> None:
    token, machine = new_token(max_uses=THREADS), Machine()
    answers = at_once(lambda _: enroll_device(CALL, machine.request(token.secret)))
    assert len(set(answers)) == 1
    with tenant(acme.id):
        assert Enrollment.objects.for_org(acme.id).count() == 1
        assert EnrollmentToken.objects.for_org(acme.id).get().uses_left == THREADS - 1


def test_of_one_machine_with_many_keys_at_most_one_is_let_in(
    acme: Cast, new_token: Callable[..., Any]
) -> None:
    token = new_token(max_uses=THREADS)
    answers = at_once(lambda _: enroll_device(CALL, Machine().request(token.secret)))
    assert sum(not answer.is_pending for answer in answers) == 1

"""Gateways, people and the sweep write the same devices at the same moment."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from apps.core import clock
from apps.core.actors import system_actor
from apps.core.ids import uuid7
from apps.core.tenancy import tenant
from apps.devices.models import DeviceState
from apps.devices.services import live
from apps.devices.services.devices import quarantine_device, release_device
from apps.devices.types import Beat, Opening
from tests import factories
from tests.devices.support import counted_totals, kept_totals
from tests.factories import Cast

pytestmark = pytest.mark.django_db(transaction=True)
THREADS, ROUNDS = 4, 15


def test_totals_stay_right(acme: Cast) -> None:
    devices = [factories.device(acme.id).id for _ in range(6)]

    def gateway(dice: random.Random) -> None:
        sessions = {device: uuid7() for device in dice.sample(devices, 3)}
        openings = [Opening(device, session, 60) for device, session in sessions.items()]
        beats = [Beat(d, s, disk_ratio=dice.choice([0.1, 0.99])) for d, s in sessions.items()]
        one(lambda: live.open_sessions(acme.id, openings))
        one(lambda: live.flush_beats(acme.id, beats))

    def person(dice: random.Random) -> None:
        actor, device = system_actor(acme.id), dice.choice(devices)
        one(lambda: quarantine_device(actor, device, reason=""))
        one(lambda: release_device(actor, device))

    def sweep(dice: random.Random) -> None:
        rows = DeviceState.objects.for_org(acme.id).filter(device_id=dice.choice(devices))
        past = clock.now() - timedelta(seconds=1)
        one(lambda: rows.exclude(offline_at=None).update(offline_at=past))
        one(lambda: live.sweep_offline(system_actor(acme.id)))

    def one(operation: Callable[[], object]) -> None:
        with tenant(acme.id):
            operation()

    def work(number: int, step: Callable[[random.Random], None]) -> None:
        dice = random.Random(number)
        try:
            for _ in range(ROUNDS):
                step(dice)
        finally:
            connection.close()

    steps = [gateway, person, sweep, gateway][:THREADS]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS), steps))
    with tenant(acme.id):
        assert kept_totals(acme.id) == counted_totals(acme.id)

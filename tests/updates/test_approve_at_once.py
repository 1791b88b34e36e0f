"""An approval holds for what is started, also where somebody changes a group at that moment."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections

from apps.core.actors import Actor
from apps.core.authz import Role
from apps.core.tenancy import tenant
from apps.devices.services.groups import create_device_group, update_device_group
from apps.updates.models import Deployment
from apps.updates.services import rollouts
from apps.updates.services.planning import approve_rollout, submit_rollout
from apps.updates.services.rollouts import start_rollout
from apps.updates.types import Target
from tests import factories
from tests.factories import Cast
from tests.updates.conftest import make_release, make_rollout

pytestmark = pytest.mark.django_db(transaction=True)
_WAITING = "SELECT cardinality(pg_blocking_pids(%s))"


def is_waiting(pid: int) -> bool:
    """Whether another connection waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, [pid])
        return bool(cursor.fetchone()[0])


class Operator(threading.Thread):
    """Changes a smart group, which operators may, in a transaction of its own."""

    def __init__(self, erin: Actor, group_id: Any) -> None:
        super().__init__()
        self.erin, self.group_id = erin, group_id
        self.pid = 0

    def run(self) -> None:
        """To all devices."""
        try:
            with tenant(self.erin.organization_id):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_backend_pid()")
                    self.pid = cursor.fetchone()[0]
                update_device_group(self.erin, self.group_id, filter="lifecycle = active")
        finally:
            connections.close_all()

    def has_had_its_chance(self) -> bool:
        """Through, or held up by who starts."""
        return not self.is_alive() or (self.pid > 0 and is_waiting(self.pid))


def test_a_group_that_is_changed_while_the_rollout_starts_is_taken_as_it_was_approved(
    acme: Cast, alice: Actor, erin: Actor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dora = factories.membership(acme.id, factories.user("dora@acme.test"), Role.DEPLOYER)
    with tenant(acme.id):
        wanted = f'name = "{acme.device.name}"'
        group = create_device_group(erin, name="lab", filter=wanted)
        target = Target(filter='group = "lab"')
        rollout = make_rollout(alice, make_release(alice), target=target, requires_approval=True)
        submit_rollout(alice, rollout.id)
        approve_rollout(factories.actor(dora), rollout.id, plan_hash=rollout.plan_hash)
    operator, create = Operator(erin, group.id), rollouts.create_deployments

    def meanwhile(*given: Any) -> Any:
        operator.start()
        until = time.monotonic() + 20
        while not operator.has_had_its_chance() and time.monotonic() < until:
            threading.Event().wait(0.01)
        return create(*given)

    monkeypatch.setattr(rollouts, "create_deployments", meanwhile)
    with tenant(acme.id):
        start_rollout(alice, rollout.id)
    operator.join(20)
    with tenant(acme.id):
        rows = Deployment.objects.for_org(acme.id).filter(rollout_id=rollout.id)
        assert [row.device_id for row in rows] == [acme.device.id]

"""A device's life: every pair of states, through the operations that change it."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.core.actors import Actor
from apps.core.errors import FleetdError, InvalidRequest, NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.devices.domain.states import NEXT, Lifecycle, may_follow
from apps.devices.errors import HardwareIdInUse
from apps.devices.models import Device
from apps.devices.services.devices import (
    approve_device,
    decommission_device,
    quarantine_device,
    release_device,
)
from tests import factories
from tests.devices.support import actions, assert_totals, events, roll_back
from tests.factories import Cast

pytestmark = pytest.mark.usefixtures("in_acme")

Operation = Callable[[Actor, Any], Device]
OPERATIONS: dict[str, Operation] = {
    "approve_device": approve_device,
    "quarantine_device": lambda actor, id_: quarantine_device(actor, id_, reason="odd"),
    "release_device": release_device,
    "decommission_device": lambda actor, id_: decommission_device(actor, id_, reason="old"),
}
# What each operation does in each state: the new state, the code of the refusal, or nothing.
TABLE = {
    ("approve_device", "pending"): "active",
    ("approve_device", "active"): None,
    ("approve_device", "quarantined"): "device_not_pending",
    ("approve_device", "decommissioned"): "device_not_pending",
    ("quarantine_device", "pending"): "device_not_active",
    ("quarantine_device", "active"): "quarantined",
    ("quarantine_device", "quarantined"): None,
    ("quarantine_device", "decommissioned"): "device_decommissioned",
    ("release_device", "pending"): "device_not_active",
    ("release_device", "active"): None,
    ("release_device", "quarantined"): "active",
    ("release_device", "decommissioned"): "device_decommissioned",
    ("decommission_device", "pending"): "decommissioned",
    ("decommission_device", "active"): "decommissioned",
    ("decommission_device", "quarantined"): "decommissioned",
    ("decommission_device", "decommissioned"): None,
}
EVENT = {
    "approve_device": "approved",
    "quarantine_device": "quarantined",
    "release_device": "released",
    "decommission_device": "decommissioned",
}


@pytest.mark.parametrize(("operation", "before"), TABLE)
def test_each_operation_in_each_state(acme: Cast, erin: Actor, operation: str, before: str) -> None:
    device = factories.device(acme.id, lifecycle=Lifecycle(before))
    wanted = TABLE[operation, before]
    if wanted in list(Lifecycle):
        after = OPERATIONS[operation](erin, device.id)
        assert after.lifecycle == wanted
        assert actions(acme.id) == [f"devices.{operation}"]
        assert events(acme.id, EVENT[operation])[0]["device_id"] == str(device.id)
    elif wanted is None:
        assert OPERATIONS[operation](erin, device.id).lifecycle == before
        assert actions(acme.id) == []
        assert events(acme.id) == []
    else:
        with pytest.raises(FleetdError) as failure:
            OPERATIONS[operation](erin, device.id)
        assert failure.value.code == wanted
        assert actions(acme.id) == []
    assert_totals(acme.id)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_viewer_cannot(acme: Cast, bob: Actor, operation: str) -> None:
    with pytest.raises(PermissionDenied) as failure:
        OPERATIONS[operation](bob, acme.device.id)
    assert failure.value.data == {"permission": f"devices.{operation}"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_missing_and_foreign_devices_are_not_found(
    globex: Cast, erin: Actor, operation: str
) -> None:
    for device_id in (globex.device.id, uuid7()):
        with pytest.raises(NotFound):
            OPERATIONS[operation](erin, device_id)


@pytest.mark.parametrize("operation", ["quarantine_device", "decommission_device"])
def test_nothing_remains_of_a_roll_back(acme: Cast, erin: Actor, operation: str) -> None:
    roll_back(acme.id, lambda: OPERATIONS[operation](erin, acme.device.id))
    assert (actions(acme.id), events(acme.id)) == ([], [])
    assert_totals(acme.id)


def test_a_machine_cannot_be_let_in_twice(acme: Cast, erin: Actor) -> None:
    waiting = factories.device(
        acme.id, lifecycle=Lifecycle.PENDING, hardware_id=acme.device.hardware_id
    )
    with pytest.raises(HardwareIdInUse) as failure:
        approve_device(erin, waiting.id)
    assert failure.value.data == {"device_id": str(acme.device.id)}
    decommission_device(erin, acme.device.id, reason="replaced")
    assert approve_device(erin, waiting.id).lifecycle == "active"


def test_decommissioning_ends_the_session(acme: Cast, erin: Actor) -> None:
    device = factories.device(acme.id, state={**factories.online(), "session_id": uuid7()})
    decommission_device(erin, device.id, reason="sold")
    stored = Device.objects.for_org(acme.id).select_related("state").get(id=device.id)
    assert (stored.state.connectivity, stored.state.session_id) == ("offline", None)
    assert stored.lifecycle_reason == "sold"
    assert stored.decommissioned_at is not None
    assert_totals(acme.id)


def test_a_reason_is_one_short_line(acme: Cast, erin: Actor) -> None:
    for reason in ("x" * 201, "two\nlines"):
        with pytest.raises(InvalidRequest):
            quarantine_device(erin, acme.device.id, reason=reason)


def test_the_table_of_steps_is_complete() -> None:
    assert set(NEXT) == set(Lifecycle)
    steps = {(a, b) for a in Lifecycle for b in Lifecycle if may_follow(a, b)}
    assert steps == {
        (Lifecycle(before), Lifecycle(after))
        for (_, before), after in TABLE.items()
        if after in list(Lifecycle)
    }

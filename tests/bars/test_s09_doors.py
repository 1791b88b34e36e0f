"""S09, through every door: rights are never merged across groups.

Given tom, who is viewer on group 1 and operator on group 2, when he acts on a device of group 1,
then he is refused, by service, REST, web UI and admin alike; on a device of both groups he may do
what either gives; on one of neither there is no such device.
"""

from pathlib import Path
from typing import Any

import pytest

from apps.organizations.services.authentication import forget_callers
from tests.doors.limited import DENIED, DONE, NOT_FOUND, Limited, make_limited
from tests.doors.test_limited_reach import DEVICE_DOINGS, Doing, Doors, undone

WITH_DOORS = [doing for doing in DEVICE_DOINGS if doing.rest is not None]


@pytest.fixture
def world(db: None, settings: Any, tmp_path: Path) -> Limited:
    """Acme with two teams; tom is in both, with different roles."""
    forget_callers()
    return make_limited(settings, tmp_path)


@pytest.mark.parametrize("doing", WITH_DOORS, ids=[doing.name for doing in WITH_DOORS])
def test_s09_a_role_in_one_group_gives_nothing_in_another(world: Limited, doing: Doing) -> None:
    doors = Doors(world)
    expected = {"d-one": DENIED, "d-two": DONE, "d-both": DONE, "d-none": NOT_FOUND}
    for door in (doors.service, doors.rest, doors.ui, doors.admin):
        for name, outcome in expected.items():
            with undone():
                found = door(doing, "tom", world.devices[name])
            if door == doors.admin and outcome != DONE:
                outcome = "refused"
            assert found == outcome, (door.__name__, name)


def test_s09_the_union_of_both_groups_is_for_that_device_only(world: Limited) -> None:
    """With d-both quarantined by the right in group 2, d-one beside it in group 1 stays shut."""
    doors, quarantine = Doors(world), next(d for d in WITH_DOORS if d.name == "quarantine_device")
    assert doors.service(quarantine, "tom", world.devices["d-both"]) == DONE
    assert doors.rest(quarantine, "tom", world.devices["d-both"]) == DONE
    assert doors.rest(quarantine, "tom", world.devices["d-one"]) == DENIED

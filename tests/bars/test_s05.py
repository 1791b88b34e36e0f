"""S05: given search, autocomplete, counters, CSV export, admin list, popup, history and delete
confirmation, and dashboard totals, when B adds 50 objects with a marker string, then no answer to A
contains the marker or a changed count.
"""

import pytest

from fleetd.isolation.admin import walk_admin
from fleetd.isolation.report import DoorReport
from fleetd.isolation.sights import ADDED, walk_sights
from fleetd.isolation.world import World


@pytest.mark.parametrize("door", ["rest", "ui", "admin"])
def test_s05_nothing_that_a_sees_changes_when_b_grows(
    door: str, world: World, report: DoorReport
) -> None:
    assert ADDED >= 50
    walk_sights(world, report, [door])
    assert report.leaks == []
    assert report.calls > 50


def test_s05_lists_filters_popups_searches_and_autocomplete_of_the_admin_hold_nothing_of_b(
    world: World, report: DoorReport
) -> None:
    walk_admin(world, report, of=[])
    assert (report.leaks, report.not_walked) == ([], [])
    assert report.calls > 100

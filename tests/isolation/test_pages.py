"""The pages of the web UI and of the admin, walked over the test database."""

from fleetd.isolation.admin import walk_admin
from fleetd.isolation.pages import pages
from fleetd.isolation.report import DoorReport
from fleetd.isolation.ui import walk_ui
from fleetd.isolation.web_calls import addresses
from fleetd.isolation.world import World


def test_no_page_or_form_reaches_another_organization(world: World, report: DoorReport) -> None:
    walk_ui(world, report)
    assert (report.leaks, report.not_walked) == ([], [])
    assert report.operations == len(pages(of_admin=False)) > 60


def test_no_page_of_the_admin_reaches_another_organization(
    world: World, report: DoorReport
) -> None:
    walk_admin(world, report, chosen=[])
    assert (report.leaks, report.not_walked) == ([], [])


def test_every_address_belongs_to_one_door() -> None:
    walked = {p.address.pattern for door in (False, True) for p in pages(of_admin=door)}
    others = {a.pattern for a in addresses()} - walked
    assert all(pattern.startswith("api/") for pattern in others)

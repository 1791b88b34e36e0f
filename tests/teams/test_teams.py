"""Making, renaming and deleting teams."""

import pytest

from apps.core.actors import Actor
from apps.core.authz import Role
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.pagination import PageRequest
from apps.devices.services.ownership import take_group_from_team
from apps.teams.errors import TeamNameTaken, TeamOwnsGroups
from apps.teams.models import Team
from apps.teams.selectors import get_team, list_teams
from apps.teams.services.teams import create_team, delete_team, update_team
from tests import factories
from tests.devices.support import actions, events, roll_back
from tests.factories import Cast
from tests.teams.support import now, person

pytestmark = pytest.mark.usefixtures("in_acme")


@pytest.fixture(autouse=True)
def foreign_team(globex: Cast) -> Team:
    """Made first: later the test works in acme."""
    return factories.team(globex.id, "Theirs", globex.group)


def names(actor: Actor) -> list[str]:
    return [team.name for team in list_teams(actor, PageRequest()).items]


def test_a_team_is_made_renamed_and_deleted(acme: Cast, alice: Actor) -> None:
    team = create_team(alice, name="  Lab ", description="Benches")
    assert (team.name, names(alice)) == ("Lab", ["Lab"])
    update_team(alice, team.id, name="Laboratory")
    assert (get_team(alice, team.id).name, get_team(alice, team.id).description) == (
        "Laboratory",
        "Benches",
    )
    delete_team(alice, team.id)
    assert names(alice) == []
    assert actions(acme.id) == ["teams.create_team", "teams.update_team", "teams.delete_team"]
    assert len(events(acme.id, "teams.team")) == 3


def test_updating_to_what_is_changes_nothing(acme: Cast, alice: Actor) -> None:
    team = create_team(alice, name="Lab")
    update_team(alice, team.id, name="Lab", description="")
    update_team(alice, team.id)
    assert actions(acme.id) == ["teams.create_team"]


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "a\nb", "a\x00b"])
def test_a_team_needs_a_printable_name(alice: Actor, name: str) -> None:
    with pytest.raises(InvalidRequest):
        create_team(alice, name=name)


def test_two_teams_cannot_have_one_name(acme: Cast, alice: Actor) -> None:
    create_team(alice, name="Lab")
    other = create_team(alice, name="Field")
    with pytest.raises(TeamNameTaken):
        create_team(alice, name="Lab")
    with pytest.raises(TeamNameTaken):
        update_team(alice, other.id, name="Lab")
    assert names(alice) == ["Field", "Lab"]


def test_a_team_that_owns_groups_cannot_go(acme: Cast, alice: Actor) -> None:
    team = factories.team(acme.id, "Lab", acme.group)
    with pytest.raises(TeamOwnsGroups):
        roll_back(acme.id, lambda: delete_team(alice, team.id))
    take_group_from_team(alice, acme.group.id)
    delete_team(alice, team.id)
    assert names(alice) == []


def test_an_operator_makes_changes_and_deletes_no_team(acme: Cast, erin: Actor) -> None:
    team = factories.team(acme.id, "Lab")
    for attempt in (
        lambda: create_team(erin, name="Mine"),
        lambda: update_team(erin, team.id, name="Mine"),
        lambda: delete_team(erin, team.id),
    ):
        with pytest.raises(PermissionDenied):
            attempt()
    assert names(erin) == ["Lab"]


def test_a_foreign_team_is_like_a_missing_one(alice: Actor, foreign_team: Team) -> None:
    for team_id in (uuid7(), foreign_team.id):
        with pytest.raises(NotFound):
            get_team(alice, team_id)
        with pytest.raises(NotFound):
            update_team(alice, team_id, name="x")
        with pytest.raises(NotFound):
            delete_team(alice, team_id)


def test_an_administrator_of_a_team_manages_that_team_only(acme: Cast) -> None:
    lab, field = factories.team(acme.id, "Lab"), factories.team(acme.id, "Field")
    lead = person(acme.id, "lead@acme.test")
    factories.team_member(lab, lead.user, Role.ADMIN)
    actor = now(lead)
    assert names(actor) == ["Lab"]
    assert update_team(actor, lab.id, description="Ours").description == "Ours"
    with pytest.raises(NotFound):
        update_team(actor, field.id, description="Ours too")
    with pytest.raises(PermissionDenied):
        delete_team(actor, lab.id)
    with pytest.raises(PermissionDenied):
        create_team(actor, name="More")


def test_a_member_without_teams_sees_none(acme: Cast) -> None:
    factories.team(acme.id, "Lab")
    with pytest.raises(PermissionDenied):
        names(now(person(acme.id, "new@acme.test")))


def test_nothing_stays_of_a_team_that_was_rolled_back(acme: Cast, alice: Actor) -> None:
    roll_back(acme.id, lambda: create_team(alice, name="Lab"))
    assert (names(alice), actions(acme.id), events(acme.id)) == ([], [], [])

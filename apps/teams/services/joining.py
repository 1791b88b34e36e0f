"""Teams in invitations: what somebody who joins the organization is put into."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from apps.core.actors import Actor
from apps.core.errors import NotFound, PermissionDenied
from apps.organizations.joining import TeamPlace
from apps.teams.models import Team, TeamMember
from apps.teams.permissions import ADD_TEAM_MEMBERS
from apps.teams.services.members import add_team_members, checked_role
from apps.teams.services.teams import locked_team


class TeamsOfInvitations:
    """What `apps.organizations.joining` asks of teams."""

    def check(self, actor: Actor, places: Sequence[TeamPlace]) -> None:
        """Raises unless the actor may put somebody into these teams with these roles."""
        for place in places:
            team = locked_team(actor, place.team_id, ADD_TEAM_MEMBERS)
            checked_role(actor, team, place.role)

    def join(self, actor: Actor, user_id: UUID, places: Sequence[TeamPlace]) -> None:
        """Puts a new member into the teams, as far as whoever invited them still could.

        A team that is gone by now, or that the inviter may no longer give, is left out: the
        invitation to the organization stands.
        """
        for place in places:
            try:
                add_team_members(actor, place.team_id, [user_id], role=place.role)
            except (NotFound, PermissionDenied):
                continue

    def names(self, organization_id: UUID, user_ids: Sequence[UUID]) -> Mapping[UUID, list[str]]:
        """The names of each person's teams."""
        found: dict[UUID, list[str]] = {}
        rows = TeamMember.objects.for_org(organization_id).filter(user_id__in=user_ids)
        for user_id, name in rows.order_by("team__name").values_list("user_id", "team__name"):
            found.setdefault(user_id, []).append(name)
        return found

    def choices(self, actor: Actor) -> list[tuple[UUID, str]]:
        """The teams that the actor may put somebody into."""
        rows = Team.objects.for_org(actor.organization_id)
        reach = actor.reach(ADD_TEAM_MEMBERS.name)
        if reach is not None:
            if not reach:
                return []
            rows = rows.filter(id__in=reach.team_ids)
        return list(rows.order_by("name", "id").values_list("id", "name"))

"""Reading teams, and what people may do because of them."""

from collections.abc import Iterator
from uuid import UUID

from apps.core.rights import Grant
from apps.teams.models import TeamMember


def grants_of(organization_id: UUID, user_id: UUID) -> Iterator[Grant]:
    """What a person holds through teams: in each, the role's permissions on the team's groups."""
    rows = TeamMember.objects.for_org(organization_id).filter(user_id=user_id)
    for member in rows.select_related("team", "custom_role"):
        because = f"role {member.role_name} in the team {member.team.name}"
        yield Grant(member.role_permissions, because, team_id=member.team_id)

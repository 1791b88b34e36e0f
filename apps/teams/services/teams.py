"""Making, renaming and deleting teams."""

from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import Permission, require, require_somewhere
from apps.core.errors import NotFound, invalid
from apps.events.services.outbox import publish
from apps.teams.errors import TeamNameTaken, TeamOwnsGroups
from apps.teams.models import Team
from apps.teams.permissions import CREATE_TEAM, DELETE_TEAM, UPDATE_TEAM, VIEW_TEAMS
from apps.teams.selectors import may_on_team, place_of_team
from apps.teams.types import TeamCreated, TeamDeleted, TeamUpdated

MAX_NAME_LENGTH = 60
MAX_DESCRIPTION_LENGTH = 200


def create_team(actor: Actor, *, name: str, description: str = "") -> Team:
    """Makes a team without anybody in it, which owns no device group.

    Not idempotent. Raises `TeamNameTaken`, `InvalidRequest`.
    """
    require(actor, CREATE_TEAM)
    team = Team(
        organization_id=actor.organization_id,
        name=_checked_name(name),
        description=_checked_description(description),
        created_at=clock.now(),
    )
    try:
        with transaction.atomic():
            team.save(force_insert=True)
    except IntegrityError as error:
        raise TeamNameTaken from error
    changes = {"name": team.name, "description": team.description}
    record(actor, CREATE_TEAM.name, team, changes=changes)
    publish(actor, TeamCreated(team_id=team.id, name=team.name))
    return team


def update_team(
    actor: Actor, team_id: UUID, *, name: str | None = None, description: str | None = None
) -> Team:
    """Renames and describes a team; None leaves as it is. Nobody's rights change.

    Idempotent. Raises `TeamNameTaken`, `InvalidRequest`.
    """
    team = locked_team(actor, team_id, UPDATE_TEAM)
    wanted = {
        "name": team.name if name is None else _checked_name(name),
        "description": (
            team.description if description is None else _checked_description(description)
        ),
    }
    changes = {f: [getattr(team, f), v] for f, v in wanted.items() if getattr(team, f) != v}
    if not changes:
        return team
    team.name, team.description = wanted["name"], wanted["description"]
    try:
        with transaction.atomic():
            team.save(update_fields=list(changes))
    except IntegrityError as error:
        raise TeamNameTaken from error
    record(actor, UPDATE_TEAM.name, team, changes=changes)
    publish(actor, TeamUpdated(team_id=team.id))
    return team


def delete_team(actor: Actor, team_id: UUID) -> None:
    """Deletes a team; its members lose what they held through it, and stay in the organization.

    Refused with `TeamOwnsGroups` while it owns device groups: whose they are from then on is
    somebody's decision and not a side effect.
    """
    team = locked_team(actor, team_id, DELETE_TEAM)
    record(actor, DELETE_TEAM.name, team, changes={"name": [team.name, None]})
    publish(actor, TeamDeleted(team_id=team.id))
    try:
        with transaction.atomic():
            team.delete()
    except (ProtectedError, IntegrityError) as error:  # the latter: given one at this very moment
        raise TeamOwnsGroups from error


def locked_team(actor: Actor, team_id: UUID, permission: Permission) -> Team:
    """The team, locked, once the actor's right on it is settled.

    A team that the actor cannot see answers as if there were none.
    """
    rows = Team.objects.for_org(actor.organization_id).select_for_update(no_key=True)
    team: Team | None = rows.filter(id=team_id).first()
    if team is None:
        raise NotFound("There is no such team.")
    if not may_on_team(actor, permission, team.id) and not may_on_team(actor, VIEW_TEAMS, team.id):
        require_somewhere(actor, VIEW_TEAMS)
        raise NotFound("There is no such team.")
    require(actor, permission, place_of_team(team.id))
    return team


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise invalid("name", "invalid_name", "A name has 1 to 60 printable characters.")
    return name


def _checked_description(text: str) -> str:
    text = text.strip()
    if len(text) > MAX_DESCRIPTION_LENGTH or not text.isprintable():
        raise invalid(
            "description", "invalid_description", "A description has at most 200 characters."
        )
    return text

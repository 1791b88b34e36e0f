"""Reading the organization's own roles, and how many hold each role."""

from collections.abc import Collection, Mapping
from uuid import UUID

from django.db.models import Count

from apps.core.actors import Actor
from apps.core.authz import Role, require
from apps.core.errors import NotFound
from apps.core.pagination import Page, PageRequest, paginate
from apps.organizations.models import CustomRole, Membership, Organization
from apps.organizations.permissions import VIEW_ROLES

DESCRIPTIONS = {
    Role.OWNER: "Everything, and the only one who makes other owners and deletes the organization.",
    Role.ADMIN: "Everything but what only owners may do.",
    Role.OPERATOR: "Looks after devices: lets them in, groups, tags and takes them out.",
    Role.DEPLOYER: "Brings software to devices: artifacts, releases, rollouts.",
    Role.VIEWER: "Sees devices, rollouts and people, and changes nothing.",
    Role.AUDITOR: "Reads the audit trail and who may do what; sees no devices.",
    Role.MEMBER: "Belongs to the organization; sees of the devices only what teams give.",
}
"""What the built-in roles are for, strongest first."""


def list_custom_roles(actor: Actor, page: PageRequest) -> Page[CustomRole]:
    """The organization's own roles by name."""
    require(actor, VIEW_ROLES)
    return paginate(
        CustomRole.objects.for_org(actor.organization_id), page, order_by=["name", "id"]
    )


def list_role_choices(actor: Actor, built_in: Collection[Role]) -> list[tuple[str, str]]:
    """Roles for a form to choose from: some built-in ones, then one's own by id, with names.

    One's own are left out for somebody who may not see them.
    """
    own: list[CustomRole] = []
    if actor.has_perm(VIEW_ROLES.name):
        own = list_custom_roles(actor, PageRequest(size=1000)).items
    return [
        *((role.value, role.value.capitalize()) for role in built_in),
        *((str(role.id), role.name) for role in own),
    ]


def get_custom_role(actor: Actor, role_id: UUID) -> CustomRole:
    """One of the organization's own roles."""
    require(actor, VIEW_ROLES)
    found = find_custom_role(actor.organization_id, role_id)
    if found is None:
        raise NotFound("There is no such role.")
    return found


def find_custom_role(organization_id: UUID, role_id: UUID) -> CustomRole | None:
    """One of the organization's own roles, for callers that have settled who may know of it."""
    rows = CustomRole.objects.for_org(organization_id)
    found: CustomRole | None = rows.filter(id=role_id).first()
    return found


def members_held(actor: Actor, user_ids: Collection[UUID]) -> list[Membership]:
    """These people's memberships, of those who have one; nobody comes or goes meanwhile.

    For services that give members something: the organization's row is locked, as it is while
    somebody is removed, so that nothing can be given to a person who is just leaving.
    """
    Organization.objects.select_for_update(no_key=True).get(id=actor.organization_id)
    rows = Membership.objects.for_org(actor.organization_id).filter(user_id__in=user_ids)
    return list(rows.select_related("user").order_by("id"))


def count_members_by_role(actor: Actor) -> Mapping[str, int]:
    """How many members hold each role in the organization, by the role's name or custom id."""
    require(actor, VIEW_ROLES)
    rows = Membership.objects.for_org(actor.organization_id)
    counts = rows.values_list("role", "custom_role_id").annotate(n=Count("id"))
    return {str(custom_id or role): n for role, custom_id, n in counts}

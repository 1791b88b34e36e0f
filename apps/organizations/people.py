"""Reading the people of an organization: members with what is known of them, and invitations."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.apps import apps
from django.db.models import Q

from apps.accounts.domain.secrets import is_well_formed, secret_hash
from apps.accounts.models import User
from apps.core.actors import Actor
from apps.core.authz import CUSTOM, Role, require
from apps.core.errors import NotFound, invalid
from apps.core.pagination import Page, PageRequest, checked_search, paginate
from apps.core.tenancy import credential
from apps.organizations.domain.invitations import INVITATION
from apps.organizations.joining import team_names
from apps.organizations.models import CustomRole, Invitation, Membership
from apps.organizations.permissions import VIEW_INVITATIONS, VIEW_MEMBERS
from apps.organizations.selectors import list_memberships_of

STRONG_FACTORS = ("totp", "webauthn")  # recovery codes come with them and are none by themselves


@dataclass(frozen=True, slots=True)
class Member:
    """A membership with what other parts of the platform know of the person."""

    membership: Membership
    has_second_factor: bool
    teams: list[str] = field(default_factory=list)

    @property
    def sign_in_source(self) -> str:
        """How the person signs in."""
        user = self.membership.user
        return "service" if user.kind == User.Kind.SERVICE else "password"


def list_members(
    actor: Actor, page: PageRequest, *, search: str = "", role: str = ""
) -> Page[Member]:
    """The organization's members, oldest first; `search` looks at names and addresses.

    Raises `InvalidRequest` for a search or role that cannot be.
    """
    require(actor, VIEW_MEMBERS)
    rows = Membership.objects.for_org(actor.organization_id)
    if search:
        text = checked_search(search)
        rows = rows.filter(Q(user__email__icontains=text) | Q(user__name__icontains=text))
    if role:
        if role not in (*Role, CUSTOM):
            raise invalid("role", "unknown_role", f"role is one of {', '.join([*Role, CUSTOM])}.")
        rows = rows.filter(role=role)
    found: Page[Membership] = paginate(
        rows.select_related("user", "custom_role"), page, order_by=["id"]
    )
    return Page(describe(actor.organization_id, found.items), found.next_page_token)


def get_member(actor: Actor, member_id: UUID) -> Member:
    """One member. Raises `NotFound`."""
    rows = Membership.objects.for_org(actor.organization_id).select_related("user", "custom_role")
    found = rows.filter(id=member_id).first()
    if found is None:
        raise NotFound
    require(actor, VIEW_MEMBERS)
    return describe(actor.organization_id, [found])[0]


def address_of(actor: Actor, member_id: UUID) -> str:
    """The address of a member, empty where there is none."""
    require(actor, VIEW_MEMBERS)
    rows = Membership.objects.for_org(actor.organization_id).filter(id=member_id)
    return rows.values_list("user__email", flat=True).first() or ""


def count_members(organization_id: UUID) -> int:
    """How many people belong to the organization."""
    return int(Membership.objects.for_org(organization_id).count())


def list_invitations(actor: Actor, page: PageRequest) -> Page[Invitation]:
    """The organization's invitations, newest first."""
    require(actor, VIEW_INVITATIONS)
    rows = Invitation.objects.for_org(actor.organization_id)
    found: Page[Invitation] = paginate(
        rows.select_related("custom_role", "invited_by"), page, order_by=["-id"]
    )
    return found


def count_open_invitations(actor: Actor) -> int:
    """How many were neither accepted nor revoked."""
    require(actor, VIEW_INVITATIONS)
    rows = Invitation.objects.for_org(actor.organization_id)
    return int(rows.filter(accepted_at=None, revoked_at=None).count())


def get_invitation(actor: Actor, invitation_id: UUID) -> Invitation:
    """One invitation. Raises `NotFound`."""
    rows = Invitation.objects.for_org(actor.organization_id)
    found: Invitation | None = (
        rows.select_related("custom_role", "invited_by").filter(id=invitation_id).first()
    )
    if found is None:
        raise NotFound
    require(actor, VIEW_INVITATIONS)
    return found


def find_invitation(secret: str) -> Invitation | None:
    """The invitation with this secret, of any organization and in any state."""
    if not is_well_formed(secret, INVITATION):
        return None
    digest = secret_hash(secret)
    with credential(digest):
        # Unscoped: the organization is what is being looked up; row security lets one row through.
        found: Invitation | None = Invitation.unscoped.filter(secret_hash=digest).first()
    return found


def inviter_and_role(invitation: Invitation) -> tuple[str, str]:
    """Who invites, and to which role, by name; inside the organization."""
    found: Invitation = (
        Invitation.objects.for_org(invitation.organization_id)
        .select_related("custom_role", "invited_by")
        .get(id=invitation.id)
    )
    return found.invited_by.name or found.invited_by.email, found.role_name


def list_custom_roles_to_give(actor: Actor) -> list[CustomRole]:
    """The organization's own roles, for whoever gives roles."""
    require(actor, VIEW_MEMBERS)
    return list(CustomRole.objects.for_org(actor.organization_id).order_by("name"))


def recent_memberships(user_id: UUID) -> list[Membership]:
    """A person's memberships, the organization that they were in last first."""
    return sorted(
        list_memberships_of(user_id),
        key=lambda m: (m.last_active_at is not None, m.last_active_at or m.created_at),
        reverse=True,
    )


def describe(organization_id: UUID, found: Sequence[Membership]) -> list[Member]:
    """These memberships with what is known of the people: two queries, however many they are."""
    user_ids = [membership.user_id for membership in found]
    strong = _with_second_factor(user_ids)
    teams = team_names(organization_id, user_ids) if user_ids else {}
    return [Member(m, m.user_id in strong, list(teams.get(m.user_id, ()))) for m in found]


def _with_second_factor(user_ids: Sequence[UUID]) -> set[UUID]:
    """Who of these has an authenticator app or a passkey."""
    if not apps.is_installed("allauth.mfa"):
        return set()
    rows = apps.get_model("mfa", "Authenticator")._default_manager
    strong = rows.filter(user_id__in=user_ids, type__in=STRONG_FACTORS)
    return set(strong.values_list("user_id", flat=True))

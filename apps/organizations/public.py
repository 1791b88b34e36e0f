"""Organizations and the caller, as REST and RPC offer them."""

from uuid import UUID

from apps.accounts.selectors import find_active_user
from apps.core.actors import Actor
from apps.core.errors import InvalidPageToken, Unauthenticated
from apps.core.ids import parse_uuid
from apps.core.pagination import Page
from apps.core.public import SIGNED_IN, id_of, operation, page_of
from apps.organizations import selectors
from apps.organizations.messages import organization_message
from apps.organizations.models import Organization
from apps.organizations.permissions import (
    CANCEL_ORGANIZATION_DELETION,
    CREATE_ORGANIZATION,
    DELETE_ORGANIZATION,
    RESUME_ORGANIZATION,
    SUSPEND_ORGANIZATION,
    UPDATE_ORGANIZATION,
    VIEW_ORGANIZATION,
)
from apps.organizations.services import deletion
from apps.organizations.services import organizations as services
from fleetd.pb.public.v1 import auth_pb2, organization_pb2


@operation(SIGNED_IN)
def get_me(actor: Actor, request: auth_pb2.GetMeRequest) -> auth_pb2.GetMeResponse:
    """The caller, the organization that the call acts in, and what it may do there."""
    user = find_active_user(actor.user_id) if actor.user_id else None
    if user is None:
        raise Unauthenticated
    membership = selectors.find_membership(actor.organization_id, user.id)
    if membership is None:
        raise Unauthenticated
    return auth_pb2.GetMeResponse(
        user_id=str(user.id),
        email=user.email,
        name=user.name,
        organization_id=str(actor.organization_id),
        organization_slug=membership.organization.slug,
        role=actor.role,
        permissions=sorted(actor.permissions),
    )


@operation(VIEW_ORGANIZATION)
def list_organizations(
    actor: Actor, request: organization_pb2.ListOrganizationsRequest
) -> organization_pb2.ListOrganizationsResponse:
    """The organizations that the caller belongs to; an API key knows only its own."""
    page = _slice(selectors.list_organizations(actor), request)
    return organization_pb2.ListOrganizationsResponse(
        items=[organization_message(each) for each in page.items],
        next_page_token=page.next_page_token,
    )


@operation(VIEW_ORGANIZATION)
def get_organization(
    actor: Actor, request: organization_pb2.GetOrganizationRequest
) -> organization_pb2.GetOrganizationResponse:
    """The organization that the call acts in."""
    found = selectors.get_organization(actor, id_of(request.id))
    return organization_pb2.GetOrganizationResponse(organization=organization_message(found))


@operation(UPDATE_ORGANIZATION)
def update_organization(
    actor: Actor, request: organization_pb2.UpdateOrganizationRequest
) -> organization_pb2.UpdateOrganizationResponse:
    """Renames the organization; its slug stays."""
    changed = services.update_organization(actor, id_of(request.id), name=request.name)
    return organization_pb2.UpdateOrganizationResponse(organization=organization_message(changed))


@operation(CREATE_ORGANIZATION)
def create_organization(
    actor: Actor, request: organization_pb2.CreateOrganizationRequest
) -> organization_pb2.CreateOrganizationResponse:
    """Makes a further organization, whose owner the caller becomes, where the platform allows."""
    made = services.create_organization(actor, name=request.name)
    return organization_pb2.CreateOrganizationResponse(organization=organization_message(made))


@operation(SUSPEND_ORGANIZATION)
def suspend_organization(
    actor: Actor, request: organization_pb2.SuspendOrganizationRequest
) -> organization_pb2.SuspendOrganizationResponse:
    """Stops everything in an organization; for superusers of the installation."""
    changed = services.suspend_organization(actor, id_of(request.id), reason=request.reason)
    return organization_pb2.SuspendOrganizationResponse(organization=organization_message(changed))


@operation(RESUME_ORGANIZATION)
def resume_organization(
    actor: Actor, request: organization_pb2.ResumeOrganizationRequest
) -> organization_pb2.ResumeOrganizationResponse:
    """Lets a suspended organization work again; for superusers of the installation."""
    changed = services.resume_organization(actor, id_of(request.id))
    return organization_pb2.ResumeOrganizationResponse(organization=organization_message(changed))


@operation(DELETE_ORGANIZATION)
def delete_organization(
    actor: Actor, request: organization_pb2.DeleteOrganizationRequest
) -> organization_pb2.DeleteOrganizationResponse:
    """Asks for deletion: everything stands still, and is erased after the time of grace.

    Takes a person who has signed in a few minutes ago, the name typed again, and a reason.
    """
    changed = deletion.delete_organization(
        actor, id_of(request.id), name=request.name, reason=request.reason
    )
    return organization_pb2.DeleteOrganizationResponse(organization=organization_message(changed))


@operation(CANCEL_ORGANIZATION_DELETION)
def cancel_organization_deletion(
    actor: Actor, request: organization_pb2.CancelOrganizationDeletionRequest
) -> organization_pb2.CancelOrganizationDeletionResponse:
    """Keeps an organization that is to be deleted."""
    changed = deletion.cancel_organization_deletion(actor, id_of(request.id))
    return organization_pb2.CancelOrganizationDeletionResponse(
        organization=organization_message(changed)
    )


def _slice(
    organizations: list[Organization], request: organization_pb2.ListOrganizationsRequest
) -> Page[Organization]:
    """One page of a person's organizations, which are few; the token is the last one's id."""
    page = page_of(request)
    rest = sorted(organizations, key=lambda each: each.id)
    if page.token:
        after = _last_seen(page.token)
        rest = [each for each in rest if each.id > after]
    items = rest[: page.size]
    return Page(items, str(items[-1].id) if len(rest) > len(items) else "")


def _last_seen(token: str) -> UUID:
    found = parse_uuid(token)
    if found is None:
        raise InvalidPageToken
    return found

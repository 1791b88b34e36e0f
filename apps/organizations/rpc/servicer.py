"""RPC methods of organizations, members and the caller."""

from apps.core.public import unary
from apps.organizations import public


class CallerServicer:
    """The part of AuthService that is about the caller."""

    get_me = unary(public.get_me)


class OrganizationsServicer:
    """The part of OrganizationService that is about organizations and members."""

    list_organizations = unary(public.list_organizations)
    get_organization = unary(public.get_organization)
    update_organization = unary(public.update_organization)
    list_members = unary(public.list_members)

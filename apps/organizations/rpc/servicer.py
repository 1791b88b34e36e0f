"""RPC methods of organizations, members and the caller."""

from apps.core.public import open_unary, unary
from apps.organizations import (
    public,
    public_keys,
    public_people,
    public_programs,
    public_settings,
)


class CallerServicer:
    """The part of AuthService that is about the caller."""

    get_me = unary(public.get_me)
    login = open_unary(public_programs.login)
    refresh = open_unary(public_programs.refresh)
    logout = unary(public_programs.logout)
    logout_everywhere = unary(public_programs.logout_everywhere)
    list_sessions = unary(public_programs.list_sessions)
    revoke_session = unary(public_programs.revoke_session)
    create_api_key = unary(public_keys.create_api_key)
    rotate_api_key = unary(public_keys.rotate_api_key)
    list_service_accounts = unary(public_keys.list_service_accounts)
    get_service_account = unary(public_keys.get_service_account)
    create_service_account = unary(public_keys.create_service_account)
    disable_service_account = unary(public_keys.disable_service_account)
    enable_service_account = unary(public_keys.enable_service_account)
    delete_service_account = unary(public_keys.delete_service_account)
    create_service_account_key = unary(public_keys.create_service_account_key)


class OrganizationsServicer:
    """The part of OrganizationService that is about organizations and members."""

    list_organizations = unary(public.list_organizations)
    get_organization = unary(public.get_organization)
    update_organization = unary(public.update_organization)
    create_organization = unary(public.create_organization)
    suspend_organization = unary(public.suspend_organization)
    resume_organization = unary(public.resume_organization)
    delete_organization = unary(public.delete_organization)
    cancel_organization_deletion = unary(public.cancel_organization_deletion)
    export_organization = unary(public_settings.export_organization)
    list_organization_exports = unary(public_settings.list_organization_exports)
    get_organization_export = unary(public_settings.get_organization_export)
    get_organization_settings = unary(public_settings.get_organization_settings)
    update_organization_settings = unary(public_settings.update_organization_settings)
    get_usage = unary(public_settings.get_usage)
    list_members = unary(public_people.list_members)
    get_member = unary(public_people.get_member)
    change_member_role = unary(public_people.change_member_role)
    remove_member = unary(public_people.remove_member)
    change_member_roles = unary(public_people.change_member_roles)
    remove_members = unary(public_people.remove_members)
    leave_organization = unary(public_people.leave_organization)
    list_invitations = unary(public_people.list_invitations)
    get_invitation = unary(public_people.get_invitation)
    create_invitation = unary(public_people.create_invitation)
    resend_invitation = unary(public_people.resend_invitation)
    revoke_invitation = unary(public_people.revoke_invitation)
    accept_invitation = unary(public_people.accept_invitation)

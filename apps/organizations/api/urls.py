"""REST addresses of organizations, members and the caller."""

from http import HTTPStatus

from apps.accounts.public import list_api_keys
from apps.core.rest.open import open_resource, opens
from apps.core.rest.views import creates, does, endpoint, reads, removes, resource
from apps.organizations import (
    public,
    public_keys,
    public_people,
    public_programs,
    public_settings,
)
from apps.organizations.api.downloads import download_export

urlpatterns = [
    *resource("me", "auth/me", get=reads(public.get_me)),
    *open_resource("login", "auth/login", post=opens(public_programs.login)),
    *open_resource("refresh", "auth/refresh", post=opens(public_programs.refresh)),
    *resource("logout", "auth/logout", post=does(public_programs.logout)),
    *resource(
        "logout-everywhere", "auth/logout-everywhere", post=does(public_programs.logout_everywhere)
    ),
    *resource("sessions", "auth/sessions", get=reads(public_programs.list_sessions)),
    *resource(
        "session-revoke",
        "auth/sessions/<ident:id>:revoke",
        post=does(public_programs.revoke_session),
    ),
    *resource(
        "api-keys", "api-keys", get=reads(list_api_keys), post=creates(public_keys.create_api_key)
    ),
    *resource(
        "api-key-rotate", "api-keys/<ident:id>:rotate", post=does(public_keys.rotate_api_key)
    ),
    *resource(
        "service-accounts",
        "service-accounts",
        get=reads(public_keys.list_service_accounts),
        post=creates(public_keys.create_service_account),
    ),
    *resource(
        "service-account",
        "service-accounts/<ident:id>",
        get=reads(public_keys.get_service_account),
        delete=removes(public_keys.delete_service_account),
    ),
    *resource(
        "service-account-disable",
        "service-accounts/<ident:id>:disable",
        post=does(public_keys.disable_service_account),
    ),
    *resource(
        "service-account-enable",
        "service-accounts/<ident:id>:enable",
        post=does(public_keys.enable_service_account),
    ),
    *resource(
        "service-account-keys",
        "service-accounts/<ident:id>/api-keys",
        post=creates(public_keys.create_service_account_key),
    ),
    *resource(
        "organizations",
        "organizations",
        get=reads(public.list_organizations),
        post=creates(public.create_organization),
    ),
    *resource(
        "organization",
        "organizations/<ident:id>",
        get=reads(public.get_organization),
        patch=does(public.update_organization),
    ),
    *resource(
        "organization-suspend",
        "organizations/<ident:id>:suspend",
        post=does(public.suspend_organization),
    ),
    *resource(
        "organization-resume",
        "organizations/<ident:id>:resume",
        post=does(public.resume_organization),
    ),
    *resource(
        "organization-delete",
        "organizations/<ident:id>:delete",
        post=does(public.delete_organization),
    ),
    *resource(
        "organization-cancel-deletion",
        "organizations/<ident:id>:cancel-deletion",
        post=does(public.cancel_organization_deletion),
    ),
    *resource(
        "organization-leave",
        "organizations/<ident:id>:leave",
        post=endpoint(public_people.leave_organization, status=HTTPStatus.NO_CONTENT),
    ),
    *resource(
        "organization-export",
        "organizations/<ident:id>:export",
        post=does(public_settings.export_organization),
    ),
    *resource(
        "organization-exports",
        "organizations/<ident:id>/exports",
        get=reads(public_settings.list_organization_exports),
    ),
    *resource(
        "organization-export-one",
        "organizations/<ident:id>/exports/<ident:export_id>",
        get=reads(public_settings.get_organization_export),
    ),
    *resource(
        "organization-export-content",
        "organizations/<ident:id>/exports/<ident:export_id>/content",
        get=download_export,
    ),
    *resource(
        "organization-settings",
        "organizations/<ident:id>/settings",
        get=reads(public_settings.get_organization_settings),
        patch=does(public_settings.update_organization_settings),
    ),
    *resource("usage", "usage", get=reads(public_settings.get_usage)),
    *resource("members", "members", get=reads(public_people.list_members)),
    *resource(
        "members-change-role", "members:change-role", post=does(public_people.change_member_roles)
    ),
    *resource("members-remove", "members:remove", post=does(public_people.remove_members)),
    *resource(
        "member",
        "members/<ident:id>",
        get=reads(public_people.get_member),
        patch=does(public_people.change_member_role),
        delete=removes(public_people.remove_member),
    ),
    *resource(
        "invitations",
        "invitations",
        get=reads(public_people.list_invitations),
        post=creates(public_people.create_invitation),
    ),
    *resource(
        "invitations-accept", "invitations:accept", post=does(public_people.accept_invitation)
    ),
    *resource("invitation", "invitations/<ident:id>", get=reads(public_people.get_invitation)),
    *resource(
        "invitation-resend",
        "invitations/<ident:id>:resend",
        post=does(public_people.resend_invitation),
    ),
    *resource(
        "invitation-revoke",
        "invitations/<ident:id>:revoke",
        post=does(public_people.revoke_invitation),
    ),
]

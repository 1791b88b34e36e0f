"""Rights on organizations, their settings and their people."""

from apps.core.authz import ADMINS, AUDITORS, EVERYONE, OWNERS, READERS, declare

VIEW_ORGANIZATION = declare("organizations.view_organization", "see the organization", EVERYONE)
CREATE_ORGANIZATION = declare(
    "organizations.create_organization", "make further organizations, where allowed", EVERYONE
)
UPDATE_ORGANIZATION = declare(
    "organizations.update_organization", "rename the organization", ADMINS
)
DELETE_ORGANIZATION = declare(
    "organizations.delete_organization", "delete the organization", OWNERS
)
CANCEL_ORGANIZATION_DELETION = declare(
    "organizations.cancel_organization_deletion", "keep an organization that is to go", OWNERS
)
EXPORT_ORGANIZATION = declare(
    "organizations.export_organization", "export and download everything", OWNERS
)
# Matters of the installation: no role holds them, superusers do.
SUSPEND_ORGANIZATION = declare("organizations.suspend_organization", "suspend organizations", ())
RESUME_ORGANIZATION = declare("organizations.resume_organization", "resume organizations", ())
UPDATE_QUOTAS = declare("organizations.update_quotas", "set an organization's quotas", ())
PURGE_ORGANIZATION = declare("organizations.purge_organization", "erase a deleted organization", ())

DISABLE_USER = declare("organizations.disable_user", "disable people's accounts", ())
ENABLE_USER = declare("organizations.enable_user", "enable people's accounts again", ())

RESET_SECOND_FACTORS = declare(
    "organizations.reset_second_factors", "take away second factors that were lost", OWNERS
)
ISSUE_RESET_LINK = declare(
    "organizations.issue_reset_link", "make links that set people's passwords", OWNERS
)
VIEW_ORGANIZATION_SETTINGS = declare(
    "organizations.view_organization_settings", "see the organization's settings", AUDITORS
)
UPDATE_ORGANIZATION_SETTINGS = declare(
    "organizations.update_organization_settings", "change the organization's settings", ADMINS
)
UPDATE_SECURITY_POLICY = declare(
    "organizations.update_security_policy", "change what a sign-in must be", OWNERS
)
VIEW_USAGE = declare("organizations.view_usage", "see usage and quotas", AUDITORS)

VIEW_MEMBERS = declare("organizations.view_members", "list the members", READERS)
ADD_MEMBER = declare("organizations.add_member", "add members and set their roles", ADMINS)
CHANGE_MEMBER_ROLE = declare("organizations.change_member_role", "change members' roles", ADMINS)
REMOVE_MEMBER = declare("organizations.remove_member", "remove members", ADMINS)
LEAVE_ORGANIZATION = declare("organizations.leave_organization", "leave the organization", EVERYONE)
VIEW_INVITATIONS = declare("organizations.view_invitations", "list invitations", ADMINS)
CREATE_INVITATION = declare("organizations.create_invitation", "invite people", ADMINS)
RESEND_INVITATION = declare("organizations.resend_invitation", "renew invitations", ADMINS)
REVOKE_INVITATION = declare("organizations.revoke_invitation", "revoke invitations", ADMINS)

VIEW_ROLES = declare("organizations.view_roles", "see what each role may do", READERS | AUDITORS)
CREATE_CUSTOM_ROLE = declare("organizations.create_custom_role", "make roles", ADMINS)
UPDATE_CUSTOM_ROLE = declare("organizations.update_custom_role", "change what roles hold", ADMINS)
DELETE_CUSTOM_ROLE = declare("organizations.delete_custom_role", "delete roles", ADMINS)

"""Rights on organizations and members."""

from apps.core.authz import ADMINS, EVERYONE, READERS, declare

VIEW_ORGANIZATION = declare("organizations.view_organization", "see the organization", EVERYONE)
UPDATE_ORGANIZATION = declare(
    "organizations.update_organization", "rename the organization", ADMINS
)
VIEW_MEMBERS = declare("organizations.view_members", "list the members", READERS)
ADD_MEMBER = declare("organizations.add_member", "add members and set their roles", ADMINS)

"""What needs no permission or knows no organization, each with its reason.

Everything else declares a permission, and its table has an organization.
"""

# Views that are neither pages of a member nor REST resources.
OPEN_VIEWS: dict[str, str] = {
    "apps.web.api.views.openapi": "the description of the API is the same for everybody",
    "apps.web.api.views.docs": "the description of the API is the same for everybody",
    "apps.core.rest.views.UnknownResource": "says of every address that there is nothing",
    "apps.updates.api.downloads.download_for_device": "the signed link is the credential",
    "apps.updates.api.repository.metadata": "metadata of TUF is public; every client needs it",
    "apps.updates.api.repository.target": "the signed link is the credential",
    "apps.web.ui.setup.Setup": "the setup code is the credential, while nobody has an account",
    "apps.enrollment.ui.installer.install_script": "the installer is the same for everybody",
    "apps.enrollment.ui.installer.agent_package": "the agent is the same for everybody",
    "apps.web.ui.access.Entry": "leads a person to the first page that they may see",
    "apps.organizations.ui.none.NoOrganizationPage": "for people who belong to no organization",
    "apps.organizations.ui.joining.Join": "the invitation's secret is the credential",
    "apps.organizations.ui.device.DeviceSignIn": "a person approves a program of their own",
    "apps.organizations.api.oauth.device_authorization": "begins a sign-in; nobody is known yet",
    "apps.organizations.api.oauth.token": "the device code or refresh token is the credential",
    "apps.organizations.api.oauth.revoke": "the token that ends is the credential",
    "apps.organizations.api.oauth.metadata": "the same for everybody",
    "apps.organizations.api.oauth.jwks": "public keys, the same for everybody",
    "django.views.generic.base.RedirectView": "leads to a page that asks for itself",
}

# Modules whose views are about the person who signs in, whatever organization that is.
OF_THE_PERSON: dict[str, str] = {
    "apps.accounts.ui.": "signing in, and one's own account: each asks who it is for itself",
    "allauth.": "signing in: nobody has rights before",
}

TASKS_WITHOUT_ORGANIZATION: dict[str, str] = {
    "organizations.sweep": "wakes the tasks of each organization, and reads their ids only",
    "accounts.keep_up": "keys and sign-ins belong to the installation and to persons",
}

GLOBAL_TABLES: dict[str, str] = {
    "accounts_user": "a person can belong to several organizations",
    "accounts_user_groups": "stays empty; the application cannot fill it",
    "accounts_user_user_permissions": "stays empty; the application cannot fill it",
    "accounts_signing_key": "keys of the installation, sealed",
    "accounts_refresh_family": "a person's sign-in",
    "accounts_refresh_token": "a person's sign-in",
    "accounts_service_token": "belongs to the installation's own programs",
    "accounts_device_authorization": "a sign-in that has not happened yet",
    "organizations_organization": "the tenant itself",
    "organizations_setup_code": "exists only before the first organization",
    "core_installed_guard": "what the guards have installed",
    "account_emailaddress": "a person's",
    "account_emailconfirmation": "a person's",
    "mfa_authenticator": "a person's second factors",
    "usersessions_usersession": "a person's sign-ins",
    "django_session": "a person's sign-ins",
    "django_admin_log": "stays empty: the audit trail says who did what",
    "django_content_type": "names of tables",
    "django_migrations": "what has been migrated",
    "auth_permission": "names of rights that nothing reads",
    "auth_group": "stays empty; the application cannot fill it",
    "auth_group_permissions": "stays empty; the application cannot fill it",
    "guardian_userobjectpermission": "stays empty; grants have tables with an organization",
    "guardian_groupobjectpermission": "stays empty; grants have tables with an organization",
}

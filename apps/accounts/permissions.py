"""Rights on keys and on the accounts of programs."""

from apps.core.authz import ADMINS, AUDITORS, MEMBERS, declare

VIEW_API_KEYS = declare("accounts.view_api_keys", "list one's own API keys", MEMBERS)
CREATE_API_KEY = declare("accounts.create_api_key", "make API keys for oneself", MEMBERS)
ROTATE_API_KEY = declare("accounts.rotate_api_key", "renew one's own API keys", MEMBERS)
REVOKE_API_KEY = declare("accounts.revoke_api_key", "revoke one's own API keys", MEMBERS)
MANAGE_API_KEYS = declare(
    "accounts.manage_api_keys", "see and revoke everybody's API keys in the organization", ADMINS
)
VIEW_SERVICE_ACCOUNTS = declare(
    "accounts.view_service_accounts", "see the accounts of programs and their keys", AUDITORS
)
MANAGE_SERVICE_ACCOUNTS = declare(
    "accounts.manage_service_accounts",
    "make, disable and delete accounts of programs, and make their keys",
    ADMINS,
)

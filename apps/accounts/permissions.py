"""Rights on keys."""

from apps.core.authz import MEMBERS, declare

VIEW_API_KEYS = declare("accounts.view_api_keys", "list one's own API keys", MEMBERS)
CREATE_API_KEY = declare("accounts.create_api_key", "make API keys for oneself", MEMBERS)
REVOKE_API_KEY = declare("accounts.revoke_api_key", "revoke one's own API keys", MEMBERS)

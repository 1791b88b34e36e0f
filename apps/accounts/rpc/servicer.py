"""RPC methods of API keys."""

from apps.accounts import public
from apps.core.public import unary


class AccountsServicer:
    """The part of AuthService that is about keys."""

    list_api_keys = unary(public.list_api_keys)
    revoke_api_key = unary(public.revoke_api_key)

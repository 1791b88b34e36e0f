"""RPC methods of enrollment tokens."""

from apps.core.public import unary
from apps.enrollment import public


class TokensServicer:
    """The part of FleetService that is about enrollment tokens."""

    list_enrollment_tokens = unary(public.list_enrollment_tokens)
    get_enrollment_token = unary(public.get_enrollment_token)
    create_enrollment_token = unary(public.create_enrollment_token)
    revoke_enrollment_token = unary(public.revoke_enrollment_token)

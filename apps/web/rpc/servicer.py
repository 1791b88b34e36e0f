"""RPC methods of what concerns several apps at once."""

from apps.core.public import unary
from apps.web import public


class AccessServicer:
    """The part of OrganizationService that explains rights."""

    explain_access = unary(public.explain_access)

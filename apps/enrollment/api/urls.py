"""REST addresses of enrollment tokens."""

from apps.core.rest.views import creates, does, reads, resource
from apps.enrollment import public

urlpatterns = [
    *resource(
        "enrollment-tokens",
        "enrollment-tokens",
        get=reads(public.list_enrollment_tokens),
        post=creates(public.create_enrollment_token),
    ),
    *resource(
        "enrollment-token",
        "enrollment-tokens/<ident:id>",
        get=reads(public.get_enrollment_token),
    ),
    *resource(
        "enrollment-token-revoke",
        "enrollment-tokens/<ident:id>:revoke",
        post=does(public.revoke_enrollment_token),
    ),
]

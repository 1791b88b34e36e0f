"""REST addresses of API keys."""

from apps.accounts import public
from apps.core.rest.views import creates, does, reads, resource

urlpatterns = [
    *resource(
        "api-keys",
        "api-keys",
        get=reads(public.list_api_keys),
        post=creates(public.create_api_key),
    ),
    *resource("api-key-revoke", "api-keys/<ident:id>:revoke", post=does(public.revoke_api_key)),
]

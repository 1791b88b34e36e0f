"""REST addresses of API keys."""

from apps.accounts import public
from apps.core.rest.views import does, resource

urlpatterns = [
    *resource("api-key-revoke", "api-keys/<ident:id>:revoke", post=does(public.revoke_api_key)),
]

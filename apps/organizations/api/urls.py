"""REST addresses of organizations, members and the caller."""

from apps.core.rest.views import does, reads, resource
from apps.organizations import public

urlpatterns = [
    *resource("me", "auth/me", get=reads(public.get_me)),
    *resource("organizations", "organizations", get=reads(public.list_organizations)),
    *resource(
        "organization",
        "organizations/<ident:id>",
        get=reads(public.get_organization),
        patch=does(public.update_organization),
    ),
    *resource("members", "members", get=reads(public.list_members)),
]

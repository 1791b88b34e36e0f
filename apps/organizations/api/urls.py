"""REST addresses of organizations, members and the caller."""

from apps.core.rest.open import open_resource, opens
from apps.core.rest.views import does, reads, resource
from apps.organizations import public, public_programs

urlpatterns = [
    *resource("me", "auth/me", get=reads(public.get_me)),
    *open_resource("login", "auth/login", post=opens(public_programs.login)),
    *open_resource("refresh", "auth/refresh", post=opens(public_programs.refresh)),
    *resource("logout", "auth/logout", post=does(public_programs.logout)),
    *resource(
        "logout-everywhere", "auth/logout-everywhere", post=does(public_programs.logout_everywhere)
    ),
    *resource("sessions", "auth/sessions", get=reads(public_programs.list_sessions)),
    *resource(
        "session-revoke",
        "auth/sessions/<ident:id>:revoke",
        post=does(public_programs.revoke_session),
    ),
    *resource("organizations", "organizations", get=reads(public.list_organizations)),
    *resource(
        "organization",
        "organizations/<ident:id>",
        get=reads(public.get_organization),
        patch=does(public.update_organization),
    ),
    *resource("members", "members", get=reads(public.list_members)),
]

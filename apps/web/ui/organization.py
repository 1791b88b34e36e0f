"""Which organization a person looks at."""

from django.http import HttpResponse
from django.utils.http import url_has_allowed_host_and_scheme

from apps.core.authz import SIGNED_IN, needs
from apps.core.errors import NotFound
from apps.core.web import ORGANIZATION_KEY, OrgRequest, OrgView, go
from apps.organizations.selectors import list_memberships_of


class Switch(OrgView):
    """Moves the session to another of the person's organizations."""

    @needs(SIGNED_IN)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Only to one that the person belongs to; any other is not found."""
        wanted = request.POST.get("organization", "")
        if request.actor.user_id is None:
            raise NotFound
        mine = {str(m.organization_id) for m in list_memberships_of(request.actor.user_id)}
        if wanted not in mine:
            raise NotFound
        request.session[ORGANIZATION_KEY] = wanted
        back = request.POST.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure())
        return go(request, back if is_ours else "dashboard")

"""Which door answers which path of the web port."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path

from apps.core.rest.views import UnknownResource
from apps.web.api.views import docs, openapi

handler400 = "apps.web.errors.bad_request"
handler403 = "apps.web.errors.permission_denied"
handler404 = "apps.web.errors.not_found"
handler500 = "apps.web.errors.server_error"

api_v1: list[URLPattern | URLResolver] = [
    path("openapi.json", openapi, name="openapi"),
    path("docs", docs, name="docs"),
    path("", include("apps.organizations.api.urls")),
    path("", include("apps.accounts.api.urls")),
    path("", include("apps.audit.api.urls")),
    path("", include("apps.teams.api.urls")),
    path("", include("apps.devices.api.urls")),
    path("", include("apps.enrollment.api.urls")),
    path("", include("apps.updates.api.urls")),
    path("", include("apps.web.api.urls")),
    re_path(r"", UnknownResource.as_view()),
]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", include(api_v1)),
    re_path(r"^api/", UnknownResource.as_view()),
    path("", include("apps.updates.api.downloads")),
    path("", include("apps.updates.api.repository")),
    path("", include("apps.web.ui.urls")),
    path("", include("apps.organizations.ui.urls")),
    path("", include("apps.organizations.ui.program_urls")),
    path("", include("apps.organizations.api.oauth_urls")),
    path("", include("apps.devices.ui.urls")),
    path("", include("apps.enrollment.ui.urls")),
    path("", include("apps.updates.ui.urls")),
    path("", include("apps.accounts.ui.urls")),
    path("", include("apps.audit.ui.urls")),
]

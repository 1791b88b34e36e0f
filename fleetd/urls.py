"""Which door answers which path of the web port."""

from django.contrib import admin
from django.urls import path

handler400 = "apps.web.errors.bad_request"
handler403 = "apps.web.errors.permission_denied"
handler404 = "apps.web.errors.not_found"
handler500 = "apps.web.errors.server_error"

urlpatterns = [
    path("admin/", admin.site.urls),
]

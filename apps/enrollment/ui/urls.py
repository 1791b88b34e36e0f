"""Addresses of the enrollment tokens; adding a device shows several apps and lies in web."""

from django.urls import path

from apps.enrollment.ui import installer, tokens

urlpatterns = [
    path("install.sh", installer.install_script, name="install-script"),
    path("install/<str:name>", installer.agent_package, name="agent-package"),
    path("enrollment-tokens", tokens.TokenList.as_view(), name="enrollment-tokens"),
    path(
        "enrollment-tokens/<uuid:token_id>/revoke",
        tokens.TokenRevoke.as_view(),
        name="enrollment-token-revoke",
    ),
]

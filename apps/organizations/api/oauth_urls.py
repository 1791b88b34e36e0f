"""Addresses of OAuth for programs; they stand outside of /api/v1, where standards want them."""

from django.urls import path

from apps.organizations.api import oauth

urlpatterns = [
    path("oauth/device_authorization", oauth.device_authorization, name="oauth-device"),
    path("oauth/token", oauth.token, name="oauth-token"),
    path("oauth/revoke", oauth.revoke, name="oauth-revoke"),
    path(".well-known/oauth-authorization-server", oauth.metadata, name="oauth-metadata"),
    path(".well-known/jwks.json", oauth.jwks, name="jwks"),
]

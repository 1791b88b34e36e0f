"""Addresses of one's own API keys."""

from django.urls import path

from apps.accounts.ui import api_keys

urlpatterns = [
    path("api-keys", api_keys.ApiKeyList.as_view(), name="api-keys"),
    path(
        "api-keys/<uuid:api_key_id>/revoke", api_keys.ApiKeyRevoke.as_view(), name="api-key-revoke"
    ),
]

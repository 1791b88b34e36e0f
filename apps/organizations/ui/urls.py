"""Addresses of the settings of an organization and of its people."""

from django.urls import path

from apps.organizations.ui import general, security

urlpatterns = [
    path("settings/organization", general.General.as_view(), name="settings-organization"),
    path("settings/security", security.Security.as_view(), name="settings-security"),
]

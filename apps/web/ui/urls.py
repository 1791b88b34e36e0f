"""Addresses of the pages that show several apps, and of what needs no organization."""

from django.urls import path

from apps.web.ui import access, add_device, dashboard, device, organization, settings, setup

urlpatterns = [
    path("", dashboard.Dashboard.as_view(), name="dashboard"),
    path("devices/add", add_device.AddDevice.as_view(), name="device-add"),
    path(
        "enrollment-tokens/<uuid:token_id>", add_device.Waiting.as_view(), name="enrollment-token"
    ),
    path("devices/<uuid:device_id>", device.DevicePage.as_view(), name="device"),
    path("setup", setup.Setup.as_view(), name="setup"),
    path("accounts/access", access.Entry.as_view(), name="account_access"),
    path("settings", settings.Settings.as_view(), name="settings"),
    path("organization/switch", organization.Switch.as_view(), name="organization-switch"),
]

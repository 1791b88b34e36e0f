"""Addresses of the pages that show several apps, and of what needs no organization."""

from allauth.account.views import login, logout
from django.urls import path
from django.views.generic import RedirectView

from apps.web.ui import add_device, dashboard, device, organization, settings, setup

_sign_in = RedirectView.as_view(pattern_name="account_login")

# Of allauth's pages only these two: accounts are made by setup and by invitation, not by signing
# up. The names below are those that its sign-in page asks for.
accounts = [
    path("accounts/login", login, name="account_login"),
    path("accounts/logout", logout, name="account_logout"),
    path("accounts/signup", _sign_in, name="account_signup"),
    path("accounts/inactive", _sign_in, name="account_inactive"),
    path("accounts/password/reset", _sign_in, name="account_reset_password"),
]

urlpatterns = [
    *accounts,
    path("", dashboard.Dashboard.as_view(), name="dashboard"),
    path("devices/add", add_device.AddDevice.as_view(), name="device-add"),
    path(
        "enrollment-tokens/<uuid:token_id>", add_device.Waiting.as_view(), name="enrollment-token"
    ),
    path("devices/<uuid:device_id>", device.DevicePage.as_view(), name="device"),
    path("setup", setup.Setup.as_view(), name="setup"),
    path("settings", settings.Settings.as_view(), name="settings"),
    path("organization/switch", organization.Switch.as_view(), name="organization-switch"),
]

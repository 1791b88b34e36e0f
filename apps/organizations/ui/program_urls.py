"""Addresses of programs: letting one sign in, their accounts, new secrets for their keys."""

from django.urls import path

from apps.organizations.ui import device, programs

ACCOUNT = "settings/service-accounts/<uuid:account_id>"

urlpatterns = [
    path("device", device.DeviceSignIn.as_view(), name="device-sign-in"),
    path("api-keys/<uuid:api_key_id>/renew", programs.KeyRenewal.as_view(), name="api-key-rotate"),
    path(
        "settings/service-accounts",
        programs.ServiceAccountList.as_view(),
        name="settings-service-accounts",
    ),
    path(ACCOUNT, programs.ServiceAccountPage.as_view(), name="service-account"),
    path(
        f"{ACCOUNT}/disable",
        programs.ServiceAccountDisable.as_view(),
        name="service-account-disable",
    ),
    path(
        f"{ACCOUNT}/enable", programs.ServiceAccountEnable.as_view(), name="service-account-enable"
    ),
    path(
        f"{ACCOUNT}/delete", programs.ServiceAccountDelete.as_view(), name="service-account-delete"
    ),
]

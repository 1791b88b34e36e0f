"""Addresses of programs: letting one sign in."""

from django.urls import path

from apps.organizations.ui import device

urlpatterns = [path("device", device.DeviceSignIn.as_view(), name="device-sign-in")]

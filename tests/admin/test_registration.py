"""Every table has its page, and only pages that know the organization pass the system check."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin import RelatedFieldListFilter

from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.devices.models import Device, GroupMember
from apps.devices.permissions import VIEW_DEVICES
from apps.organizations.models import Membership
from apps.web.admin_site import FleetdAdminSite

WITHOUT_A_PAGE = {
    "organizations.SetupCode": "exists only while nobody can sign in",
    "accounts.SigningKey": "the installation's: fleetd keys list",
    "accounts.ServiceToken": "the installation's: fleetd service-token list",
    "accounts.RefreshFamily": "a person's own sign-ins, in whatever organization",
    "accounts.RefreshToken": "a part of a sign-in",
    "updates.SigningRepository": "sealed keys; Settings, Signing shows their public halves",
    "updates.SigningMetadata": "Settings, Signing",
    "updates.InstructionCounter": "a number that only instructions need",
    "accounts.DeviceAuthorization": "a sign-in that waits for a few minutes",
}


def _ours() -> set[str]:
    return {m._meta.label for m in apps.get_models() if m.__module__.startswith("apps.")}


def test_every_table_of_the_product_has_a_page(site: FleetdAdminSite) -> None:
    registered = {model._meta.label for model in site._registry}
    assert registered == _ours() - set(WITHOUT_A_PAGE)


def test_the_pages_of_the_product_pass_the_check(site: FleetdAdminSite) -> None:
    assert site.check(None) == []


class Plain(admin.ModelAdmin):
    """As the tutorials make them."""


class Unlimited(OrgModelAdmin):
    """Without a right to ask for."""


class OpenFilter(OrgModelAdmin):
    """With filters that list everybody's groups."""

    view_permission = VIEW_DEVICES
    list_filter = (("group", RelatedFieldListFilter), "device__model")


class OpenInline(OrgModelAdmin):
    """With rows of everybody."""

    view_permission = VIEW_DEVICES
    inlines = (type("Members", (admin.TabularInline,), {"model": GroupMember}),)


@pytest.mark.parametrize(
    ("page", "model", "codes"),
    [
        (Plain, Device, ["fleetd.E001"]),
        (Unlimited, Device, ["fleetd.E002"]),
        (OpenFilter, GroupMember, ["fleetd.E002", "fleetd.E002"]),
        (OpenInline, Device, ["fleetd.E001"]),
    ],
)
def test_pages_that_would_leak_do_not_pass(page: Any, model: Any, codes: list[str]) -> None:
    other = FleetdAdminSite("other")
    other.register(model, page)
    assert [e.id for e in other.check(None) if e.id.startswith("fleetd.")] == codes


def test_libraries_bring_no_pages_of_their_own(site: FleetdAdminSite) -> None:
    assert Membership in site._registry
    assert {m.__module__.split(".")[0] for m in site._registry} == {"apps"}

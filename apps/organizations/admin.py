"""The organization, its members and the people behind them in the admin."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from apps.accounts.models import User
from apps.core.authz import Role
from apps.core.errors import invalid
from apps.core.org_admin.cells import when
from apps.core.org_admin.forms import OrgForm
from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.core.org_admin.scoping import actor_of
from apps.organizations.models import Membership, Organization
from apps.organizations.permissions import (
    ADD_MEMBER,
    UPDATE_ORGANIZATION,
    VIEW_MEMBERS,
    VIEW_ORGANIZATION,
)
from apps.organizations.services.members import add_member
from apps.organizations.services.organizations import update_organization


@admin.register(Organization)
class OrganizationAdmin(OrgModelAdmin):
    """The caller's organization, and no other."""

    view_permission = VIEW_ORGANIZATION
    change_permission = UPDATE_ORGANIZATION
    change_fields = ("name",)
    list_display = ("name", "slug", "created_at")

    def rows(self, request: HttpRequest) -> QuerySet[Any]:
        """The one that the caller works in."""
        return Organization.objects.filter(id=actor_of(request).organization_id)

    def change_object(self, request: HttpRequest, obj: Any, form: Any) -> Model:
        """Renames it."""
        return update_organization(actor_of(request), obj.pk, name=form.cleaned_data["name"])


class NewMemberForm(OrgForm):
    """Somebody who has an account, and their role."""

    email = forms.EmailField(help_text="Of an account that exists already.")


@admin.register(Membership)
class MembershipAdmin(OrgModelAdmin):
    """Who belongs to the organization, and as what."""

    view_permission = VIEW_MEMBERS
    add_permission = ADD_MEMBER
    list_display = ("user", "role", "created_at")
    list_filter = ("role",)
    list_select_related = ("user",)
    search_fields = ("user__email", "user__name")
    ordering = ("id",)
    add_form = NewMemberForm
    add_fields = ("email", "role")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Superusers only: naming an account tells whether it exists, in any organization."""
        is_superuser = bool(getattr(request.user, "is_superuser", False))
        return is_superuser and super().has_add_permission(request, obj)

    def add_object(self, request: HttpRequest, form: Any, formsets: Sequence[Any]) -> Model:
        """Adds the person."""
        email, role = form.cleaned_data["email"], form.cleaned_data["role"]
        user = User.objects.filter(email__iexact=email, is_active=True).first()
        if user is None:
            raise invalid("email", "unknown_account", "There is no account with this address.")
        return add_member(actor_of(request), user, role=Role(role))


@admin.register(User)
class UserAdmin(OrgModelAdmin):
    """People: for superusers all of them, for others the members of their organization.

    Registered here and not with the accounts, because memberships decide who may be seen.
    """

    view_permission = VIEW_MEMBERS
    list_display = ("email", "name", "is_active", "is_staff", "signed_in")
    list_filter = ("is_active",)
    search_fields = ("email", "name")
    ordering = ("email",)
    hidden_fields = ("last_login",)
    extra_fields = ("signed_in",)

    def rows(self, request: HttpRequest) -> QuerySet[Any]:
        """All for superusers; otherwise those who have a membership here."""
        if getattr(request.user, "is_superuser", False):
            return User.objects.all()
        members = Membership.objects.for_org(actor_of(request).organization_id)
        return User.objects.filter(id__in=members.values("user_id"))

    @admin.display(description="last sign-in")
    def signed_in(self, user: User) -> SafeString:
        """When the person last signed in."""
        return when(user.last_login)

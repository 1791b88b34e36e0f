"""The organization, its members and the people behind them in the admin."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from apps.accounts.models import User
from apps.core import clock
from apps.core.authz import Permission, Role
from apps.core.errors import invalid
from apps.core.org_admin.cells import badge, when
from apps.core.org_admin.forms import OrgForm
from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.core.org_admin.operations import Operation
from apps.core.org_admin.scoping import actor_of
from apps.organizations.domain.invitations import state_of
from apps.organizations.installation import Totals, totals_of
from apps.organizations.models import Invitation, Membership, Organization, OrganizationExport
from apps.organizations.permissions import (
    ADD_MEMBER,
    CHANGE_MEMBER_ROLE,
    DISABLE_USER,
    ENABLE_USER,
    EXPORT_ORGANIZATION,
    REMOVE_MEMBER,
    RESET_SECOND_FACTORS,
    RESUME_ORGANIZATION,
    REVOKE_INVITATION,
    SUSPEND_ORGANIZATION,
    UPDATE_ORGANIZATION,
    VIEW_INVITATIONS,
    VIEW_MEMBERS,
    VIEW_ORGANIZATION,
)
from apps.organizations.services.accounts import (
    disable_user,
    enable_user,
    reset_second_factors,
)
from apps.organizations.services.exports import export_organization
from apps.organizations.services.invitations import revoke_invitation
from apps.organizations.services.members import add_member, change_member_role, remove_member
from apps.organizations.services.organizations import (
    resume_organization,
    suspend_organization,
    update_organization,
)


class ReasonForm(forms.Form):
    """Why, for those who read it later."""

    reason = forms.CharField(max_length=200, help_text="Shown to the organization's owners.")


@admin.register(Organization)
class OrganizationAdmin(OrgModelAdmin):
    """The caller's organization; for superusers all of them, to suspend, resume and export."""

    view_permission = VIEW_ORGANIZATION
    change_permission = UPDATE_ORGANIZATION
    change_fields = ("name",)
    list_display = ("slug", "name", "standing", "members", "devices", "online", "created_at")
    list_filter = ("status",)
    search_fields = ("name", "slug")
    sortable_by = ("slug", "name", "created_at")
    ordering = ("slug",)
    list_per_page = 20
    extra_fields = ("standing", "members", "devices", "online")
    operations = (
        Operation(
            "suspend_organization",
            "Suspend",
            SUSPEND_ORGANIZATION,
            lambda actor, each, values: suspend_organization(
                actor, each.pk, reason=values.get("reason", "")
            ),
            warning="Members can change nothing, devices wait, rollouts stand still.",
            form=ReasonForm,
            applies=lambda each: each.status == Organization.Status.ACTIVE,
        ),
        Operation(
            "resume_organization",
            "Resume",
            RESUME_ORGANIZATION,
            lambda actor, each, _values: resume_organization(actor, each.pk),
            applies=lambda each: each.status == Organization.Status.SUSPENDED,
        ),
        Operation(
            "export_organization",
            "Export",
            EXPORT_ORGANIZATION,
            lambda actor, each, _values: export_organization(actor, each.pk),
            warning="An archive of everything is written; its owners can download it.",
        ),
    )

    def rows(self, request: HttpRequest) -> QuerySet[Any]:
        """The one that the caller works in; all for superusers."""
        if _is_superuser(request):
            return Organization.objects.all()
        return Organization.objects.filter(id=actor_of(request).organization_id)

    def may(self, request: HttpRequest, permission: Permission | None, obj: Any = None) -> bool:
        """What is the installation's is for superusers; the rest is for members, in their own."""
        if permission in (SUSPEND_ORGANIZATION, RESUME_ORGANIZATION):
            return _is_superuser(request)
        if permission is VIEW_ORGANIZATION and _is_superuser(request):
            return True
        is_own = obj is None or obj.pk == actor_of(request).organization_id
        return is_own and super().may(request, permission, obj)

    def change_object(self, request: HttpRequest, obj: Any, form: Any) -> Model:
        """Renames it."""
        return update_organization(actor_of(request), obj.pk, name=form.cleaned_data["name"])

    @admin.display(description="status")
    def standing(self, organization: Organization) -> SafeString:
        """Active, suspended or being deleted."""
        return badge("organization", organization.status)

    @admin.display(description="members")
    def members(self, organization: Organization) -> int:
        """How many people belong to it."""
        return _totals(organization).members

    @admin.display(description="devices")
    def devices(self, organization: Organization) -> int:
        """How many devices it has."""
        return _totals(organization).devices

    @admin.display(description="online")
    def online(self, organization: Organization) -> int:
        """How many of them are connected."""
        return _totals(organization).online


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


def _totals(organization: Any) -> Totals:
    """The row's numbers, read once; the list shows only rows whose numbers may be known."""
    if not hasattr(organization, "totals"):
        organization.totals = totals_of(organization.pk)
    found: Totals = organization.totals
    return found


class RoleForm(forms.Form):
    """A built-in role; the organization's own are given in the web UI."""

    role = forms.ChoiceField(choices=[(role.value, role.name.title()) for role in Role])


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
    operations = (
        Operation(
            "change_member_role",
            "Change role",
            CHANGE_MEMBER_ROLE,
            lambda actor, member, values: change_member_role(actor, member.pk, role=values["role"]),
            form=RoleForm,
        ),
        Operation(
            "remove_member",
            "Remove",
            REMOVE_MEMBER,
            lambda actor, member, _values: remove_member(actor, member.pk),
            warning="Access ends within seconds; teams, grants and API keys here go.",
        ),
    )

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


@admin.register(Invitation)
class InvitationAdmin(OrgModelAdmin):
    """Who was invited, and what became of it. Made and renewed in the web UI, which shows links."""

    view_permission = VIEW_INVITATIONS
    list_display = ("who", "role", "standing", "invited_by", "created_at", "expires_at")
    list_filter = ("role",)
    list_select_related = ("invited_by", "custom_role")
    search_fields = ("email",)
    ordering = ("-id",)
    extra_fields = ("standing",)
    operations = (
        Operation(
            "revoke_invitation",
            "Revoke",
            REVOKE_INVITATION,
            lambda actor, each, _values: revoke_invitation(actor, each.pk),
            warning="Its link stops working.",
            applies=lambda each: each.accepted_at is None and each.revoked_at is None,
        ),
    )

    @admin.display(description="for", ordering="email")
    def who(self, invitation: Invitation) -> str:
        """The address, or that it is a link."""
        return invitation.email or "whoever has the link"

    @admin.display(description="state")
    def standing(self, invitation: Invitation) -> SafeString:
        """Open, accepted, expired or revoked."""
        return badge("invitation", state_of(invitation, clock.now()))


@admin.register(OrganizationExport)
class OrganizationExportAdmin(OrgModelAdmin):
    """Archives of the organization; made and downloaded in the web UI."""

    view_permission = EXPORT_ORGANIZATION
    list_display = ("created_at", "standing", "requested_by", "row_count", "size_bytes")
    ordering = ("-id",)
    hidden_fields = ("parts", "last_id", "table")
    extra_fields = ("standing",)

    @admin.display(description="state")
    def standing(self, export: OrganizationExport) -> SafeString:
        """Being written, done or failed."""
        return badge("export", export.state)


@admin.register(User)
class UserAdmin(OrgModelAdmin):
    """People: for superusers all of them, for others the members of their organization.

    Registered here and not with the accounts, because memberships decide who may be seen.
    """

    view_permission = VIEW_MEMBERS
    list_display = ("email", "name", "is_active", "signed_in")
    list_filter = ("is_active",)
    search_fields = ("email", "name")
    ordering = ("email",)
    hidden_fields = ("last_login",)
    extra_fields = ("signed_in",)
    operations = (
        Operation(
            "disable_user",
            "Disable",
            DISABLE_USER,
            lambda actor, user, _values: disable_user(actor, user.pk),
            warning="Sessions, tokens, API keys and streams end; signing in is refused.",
            applies=lambda user: user.is_active,
        ),
        Operation(
            "enable_user",
            "Enable",
            ENABLE_USER,
            lambda actor, user, _values: enable_user(actor, user.pk),
            applies=lambda user: not user.is_active,
        ),
        Operation(
            "reset_second_factors",
            "Reset second factors",
            RESET_SECOND_FACTORS,
            lambda actor, user, _values: reset_second_factors(actor, user.pk),
            warning="App, passkeys and recovery codes stop working, and everything open ends. "
            "Make sure that it is the person who asked.",
            applies=lambda user: user.kind == User.Kind.PERSON,
        ),
    )

    def may(self, request: HttpRequest, permission: Permission | None, obj: Any = None) -> bool:
        """What concerns the account itself is for superusers, lost factors for owners as well."""
        if permission in (DISABLE_USER, ENABLE_USER, RESET_SECOND_FACTORS):
            if _is_superuser(request):
                return True
        return super().may(request, permission, obj)

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

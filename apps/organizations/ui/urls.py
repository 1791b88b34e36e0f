"""Addresses of the settings of an organization and of its people."""

from django.urls import path

from apps.organizations.ui import (
    creation,
    general,
    invitations,
    joining,
    members,
    none,
    security,
    values,
)

urlpatterns = [
    path("settings/organization", general.General.as_view(), name="settings-organization"),
    path("settings/organization/export", general.Export.as_view(), name="organization-export"),
    path(
        "settings/organization/exports/<uuid:export_id>",
        general.ExportDownload.as_view(),
        name="organization-export-download",
    ),
    path("settings/organization/leave", general.Leave.as_view(), name="organization-leave"),
    path("settings/organization/delete", general.Delete.as_view(), name="organization-delete"),
    path("settings/organization/keep", general.CancelDeletion.as_view(), name="organization-keep"),
    path("settings/security", security.Security.as_view(), name="settings-security"),
    path("settings/browser-access", values.BrowserAccess.as_view(), name="settings-cors"),
    path("settings/usage", values.UsagePage.as_view(), name="settings-usage"),
    path("settings/members", members.MemberList.as_view(), name="settings-members"),
    path("settings/members/role", members.ChangeRoles.as_view(), name="members-change-role"),
    path("settings/members/remove", members.Remove.as_view(), name="members-remove"),
    path("settings/members/<uuid:member_id>", members.MemberPage.as_view(), name="member"),
    path("settings/invitations", invitations.InvitationList.as_view(), name="settings-invitations"),
    path(
        "settings/invitations/<uuid:invitation_id>/resend",
        invitations.Resend.as_view(),
        name="invitation-resend",
    ),
    path(
        "settings/invitations/<uuid:invitation_id>/revoke",
        invitations.Revoke.as_view(),
        name="invitation-revoke",
    ),
    path("organizations/new", creation.NewOrganization.as_view(), name="organization-new"),
    path("organizations/none", none.NoOrganizationPage.as_view(), name="organization-none"),
    path("invitations/<str:secret>", joining.Join.as_view(), name="invitation"),
]

"""Addresses of the pages that show several apps, and of what needs no organization."""

from django.urls import path

from apps.web.ui import (
    access,
    add_device,
    dashboard,
    device,
    explain,
    grants,
    organization,
    roles,
    settings,
    setup,
    teams,
)

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
    path("settings/teams", teams.TeamList.as_view(), name="settings-teams"),
    path("settings/teams/<uuid:team_id>", teams.TeamPage.as_view(), name="settings-team"),
    path(
        "settings/teams/<uuid:team_id>/delete",
        teams.TeamDelete.as_view(),
        name="settings-team-delete",
    ),
    path(
        "settings/teams/<uuid:team_id>/candidates",
        teams.TeamCandidates.as_view(),
        name="settings-team-candidates",
    ),
    path("settings/teams/<uuid:team_id>/add", teams.TeamAdd.as_view(), name="settings-team-add"),
    path(
        "settings/teams/<uuid:team_id>/members/<uuid:user_id>/role",
        teams.TeamRole.as_view(),
        name="settings-team-role",
    ),
    path(
        "settings/teams/<uuid:team_id>/members/<uuid:user_id>/remove",
        teams.TeamRemove.as_view(),
        name="settings-team-remove",
    ),
    path(
        "settings/teams/<uuid:team_id>/groups",
        teams.TeamGiveGroup.as_view(),
        name="settings-team-give",
    ),
    path(
        "settings/teams/<uuid:team_id>/groups/<uuid:group_id>/take",
        teams.TeamTakeGroup.as_view(),
        name="settings-team-take",
    ),
    path("settings/roles", roles.RoleMatrix.as_view(), name="settings-roles"),
    path("settings/roles/new", roles.NewRole.as_view(), name="settings-role-new"),
    path("settings/roles/<uuid:role_id>", roles.RolePage.as_view(), name="settings-role"),
    path(
        "settings/roles/<uuid:role_id>/delete",
        roles.RoleDelete.as_view(),
        name="settings-role-delete",
    ),
    path("settings/access", explain.ExplainAccess.as_view(), name="settings-access"),
    path("settings/access/choices", explain.Choices.as_view(), name="settings-access-choices"),
    path("settings/grants", grants.Grants.as_view(), name="settings-grants"),
    path("settings/grants/people", grants.People.as_view(), name="settings-grants-people"),
    path("settings/grants/revoke", grants.Revoke.as_view(), name="settings-grants-revoke"),
    path("organization/switch", organization.Switch.as_view(), name="organization-switch"),
]

"""Addresses of the device pages; the device's own page shows several apps and lies in web."""

from django.urls import path

from apps.devices.ui import devices, filtering, groups

urlpatterns = [
    path("devices", devices.DeviceList.as_view(), name="devices"),
    path("devices/filter-words", filtering.FilterWords.as_view(), name="filter-words"),
    path("devices/<uuid:device_id>/update", devices.DeviceUpdate.as_view(), name="device-update"),
    path(
        "devices/<uuid:device_id>/approve", devices.DeviceApprove.as_view(), name="device-approve"
    ),
    path(
        "devices/<uuid:device_id>/quarantine",
        devices.DeviceQuarantine.as_view(),
        name="device-quarantine",
    ),
    path(
        "devices/<uuid:device_id>/release", devices.DeviceRelease.as_view(), name="device-release"
    ),
    path(
        "devices/<uuid:device_id>/decommission",
        devices.DeviceDecommission.as_view(),
        name="device-decommission",
    ),
    path("device-groups", groups.GroupList.as_view(), name="device-groups"),
    path("device-groups/preview", groups.GroupPreview.as_view(), name="device-group-preview"),
    path(
        "device-groups/<uuid:group_id>/update",
        groups.GroupUpdate.as_view(),
        name="device-group-update",
    ),
    path("device-groups/<uuid:group_id>", groups.GroupDetail.as_view(), name="device-group"),
    path(
        "device-groups/<uuid:group_id>/delete",
        groups.GroupDelete.as_view(),
        name="device-group-delete",
    ),
    path(
        "device-groups/<uuid:group_id>/candidates",
        groups.GroupCandidates.as_view(),
        name="device-group-candidates",
    ),
    path("device-groups/<uuid:group_id>/add", groups.GroupAdd.as_view(), name="device-group-add"),
    path(
        "device-groups/<uuid:group_id>/remove",
        groups.GroupRemove.as_view(),
        name="device-group-remove",
    ),
]

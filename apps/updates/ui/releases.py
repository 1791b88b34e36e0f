"""Releases: the list, one release with its buttons, and the form that makes one."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.core.actors import Actor
from apps.core.authz import needs
from apps.core.errors import FleetdError
from apps.core.ids import parse_uuid, uuid7
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, failure_lines, go
from apps.updates.permissions import (
    ATTACH_RELEASE_SBOM,
    CLEAN_UP_STORAGE,
    CREATE_RELEASE,
    DELETE_RELEASE,
    DEPRECATE_RELEASE,
    RECALL_RELEASE,
    VIEW_ARTIFACTS,
    VIEW_RELEASES,
)
from apps.updates.selectors.artifacts import list_artifacts
from apps.updates.selectors.cleanup import preview_clean_up, retention_of
from apps.updates.selectors.holding import find_holding
from apps.updates.selectors.packages import list_release_packages
from apps.updates.selectors.releases import get_release, list_releases
from apps.updates.selectors.signing import unsigned_among
from apps.updates.selectors.use import (
    count_devices_by_release,
    count_devices_on,
    count_rollouts_by_release,
    list_rollouts_of,
)
from apps.updates.services.cleanup import clean_up_storage, delete_release
from apps.updates.services.packages import attach_release_sbom
from apps.updates.services.recalls import deprecate_release, recall_release
from apps.updates.services.releases import create_release
from apps.updates.ui.channels import channel_context
from apps.updates.ui.release_form import (
    BUNDLES,
    FIRST,
    KINDS,
    arguments_of,
    component_of,
    row_of,
    values_of,
)

CHOOSABLE = 500
PACKAGES = 50


class ReleaseList(OrgView):
    """All releases, newest first."""

    @needs(VIEW_RELEASES)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page, or its list alone."""
        package = request.GET.get("package", "").strip()
        asked = PageRequest.of(None, request.GET.get("page_token"))
        search = request.GET.get("search", "").strip()
        page = list_releases(request.actor, asked, package=package, search=search)
        context = {
            "actor": request.actor,
            "page": page,
            "rows": _rows(request.actor, page.items),
            "package": package,
            "search": search,
        }
        name = "releases_rows" if request.GET.get("fragment") == "list" else "releases"
        return render(request, f"updates/{name}.html", context)


def _rows(actor: Actor, releases: list[Any]) -> list[dict[str, Any]]:
    """What the list says of each release, read for all of them at once."""
    devices = count_devices_by_release(actor, releases)
    rollouts = count_rollouts_by_release(actor, releases)
    unsigned = unsigned_among(actor, [release.id for release in releases])
    return [
        {
            "release": release,
            "devices": devices.get(release.id),
            "rollouts": rollouts.get(release.id),
            "is_signed": release.id not in unsigned,
            **_content(list(release.components.all())),
        }
        for release in releases
    ]


def _content(components: list[Any]) -> dict[str, Any]:
    """Kinds in their order, how many bytes, and the digest where there is one file."""
    files = {part.artifact_id: part.artifact for part in components}
    return {
        "kinds": list(dict.fromkeys(part.get_kind_display() for part in components)),
        "size_bytes": sum(artifact.size_bytes for artifact in files.values()),
        "sha256": next(iter(files.values())).sha256 if len(files) == 1 else "",
        "file_count": len(files),
    }


class ReleaseDetail(OrgView):
    """One release: its components, onto what it fits, where it is, and its end."""

    @needs(VIEW_RELEASES)
    def get(self, request: OrgRequest, release_id: UUID) -> HttpResponse:
        """The page."""
        release = get_release(request.actor, release_id)
        rollouts = list_rollouts_of(request.actor, release.id)
        devices = count_devices_on(request.actor, release)
        channels = channel_context(request, release)
        context = {
            "actor": request.actor,
            "release": release,
            "components": release.components.all(),
            "rollouts": rollouts,
            "device_count": devices,
            **channels,
            "is_signed": not unsigned_among(request.actor, [release.id]),
            "uses": _uses(request, release),
            "consequences": _consequences(rollouts, devices, channels["own_channels"]),
            "packages": list_release_packages(
                request.actor, release.id, PageRequest.of(PACKAGES, request.GET.get("page_token"))
            ),
            "documents": _documents(request) if release.sbom_id is None else [],
        }
        return render(request, "updates/release.html", context)


class ReleaseRecall(OrgView):
    """Takes a release back for good."""

    @needs(RECALL_RELEASE)
    def post(self, request: OrgRequest, release_id: UUID) -> HttpResponse:
        """Recalls it."""
        reason = request.POST.get("reason", "")
        attempt(
            request,
            lambda: recall_release(request.actor, release_id, reason=reason),
            _("Recalled. No rollout of it can start any more."),
        )
        return go(request, "release", release_id)


class ReleaseSbom(OrgView):
    """Attaches a bill of materials."""

    @needs(ATTACH_RELEASE_SBOM)
    def post(self, request: OrgRequest, release_id: UUID) -> HttpResponse:
        """Reads the chosen artifact, or says why it is none."""
        artifact_id = parse_uuid(request.POST.get("artifact", ""))
        attempt(
            request,
            lambda: attach_release_sbom(
                request.actor, release_id, artifact_id=artifact_id or UUID(int=0)
            ),
            _("Its bill of materials is read."),
        )
        return go(request, "release", release_id)


class ReleaseDeprecate(OrgView):
    """Advises against a release."""

    @needs(DEPRECATE_RELEASE)
    def post(self, request: OrgRequest, release_id: UUID) -> HttpResponse:
        """Says so."""
        reason = request.POST.get("reason", "")
        attempt(
            request,
            lambda: deprecate_release(request.actor, release_id, reason=reason),
            _("Whoever looks at it reads this now."),
        )
        return go(request, "release", release_id)


class ReleaseDelete(OrgView):
    """Removes a release that nothing uses."""

    @needs(DELETE_RELEASE)
    def post(self, request: OrgRequest, release_id: UUID) -> HttpResponse:
        """Removes it, or says what uses it."""

        def delete() -> bool:
            delete_release(request.actor, release_id)
            return True

        if attempt(request, delete, _("The release is removed.")):
            return go(request, "releases")
        return go(request, "release", release_id)


class StorageCleanUp(OrgView):
    """What nothing uses, and the button that removes it."""

    @needs(CLEAN_UP_STORAGE)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        keep, days = retention_of(request.actor.organization_id)
        context = {
            "actor": request.actor,
            "found": preview_clean_up(request.actor),
            "keep_releases": keep,
            "retention_days": days,
        }
        return render(request, "updates/clean_up.html", context)

    @needs(CLEAN_UP_STORAGE)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Removes it now instead of within the hour."""
        attempt(request, lambda: clean_up_storage(request.actor), _("The storage is clean."))
        return go(request, "clean-up")


class ReleaseNew(OrgView):
    """The form that makes a release."""

    @needs(CREATE_RELEASE)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The form with one component, of the artifact in the address if there is one."""
        row = {**FIRST, "key": "1", "artifact": request.GET.get("artifact", "")}
        return _form(request, {"bundle_mode": "atomic"}, [row], [])

    @needs(CREATE_RELEASE)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Makes the release, or shows the form again with what is wrong."""
        rows = [row_of(request.POST, key) for key in request.POST.getlist("component")[:32]]
        values = values_of(request.POST)
        try:
            release = create_release(
                request.actor,
                components=[component_of(row) for row in rows],
                **arguments_of(values),
            )
        except FleetdError as error:
            return _form(request, values, rows, failure_lines(error))
        return go(request, "release", release.id)


class ComponentRow(OrgView):
    """One more component for the form."""

    @needs(VIEW_ARTIFACTS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The fields of one component."""
        row = {**FIRST, "key": uuid7().hex[-8:], "name": ""}
        context = {**_choices(request), "row": row}
        return render(request, "updates/component_form.html", context)


def _uses(request: OrgRequest, release: Any) -> list[str]:
    """What keeps it, for those who may remove it."""
    if release.files_removed_at or not request.actor.has_perm(DELETE_RELEASE.name):
        return []
    return find_holding(request.actor, [release])[release.id].lines


def _documents(request: OrgRequest) -> list[Any]:
    """Artifacts that may be bills of materials, by their names."""
    if not request.actor.has_perm(ATTACH_RELEASE_SBOM.name):
        return []
    found = list_artifacts(request.actor, PageRequest(size=CHOOSABLE)).items
    return [artifact for artifact in found if artifact.name.endswith(".json")]


def _consequences(rollouts: list[Any], devices: int | None, channels: list[str]) -> list[str]:
    """What a recall does, in words, as things stand now."""
    lines = [_("No rollout of it can be planned or started from now on. There is no way back.")]
    if channels:
        told = _("%(channels)s: point at it still, and no rollout of them can be planned.")
        lines.append(told % {"channels": ", ".join(channels)})
    running = [rollout for rollout in rollouts if rollout.state in ("running", "paused")]
    if running:
        lines.append(
            ngettext(
                "%(n)d rollout of it is under way and halts.",
                "%(n)d rollouts of it are under way and halt.",
                len(running),
            )
            % {"n": len(running)}
        )
    if devices:
        lines.append(
            ngettext(
                "%(n)d device has it and keeps it until something else is rolled out.",
                "%(n)d devices have it and keep it until something else is rolled out.",
                devices,
            )
            % {"n": devices}
        )
    return lines


def _form(
    request: OrgRequest,
    values: Mapping[str, Any],
    rows: Iterable[Mapping[str, str]],
    errors: list[str],
) -> HttpResponse:
    context = {
        **_choices(request),
        "actor": request.actor,
        "values": values,
        "rows": rows,
        "errors": errors,
        "bundles": BUNDLES,
    }
    status = 400 if errors else 200
    return render(request, "updates/release_new.html", context, status=status)


def _choices(request: OrgRequest) -> dict[str, Any]:
    found = list_artifacts(request.actor, PageRequest(size=CHOOSABLE)).items
    artifacts = [artifact for artifact in found if artifact.file_removed_at is None]
    return {"artifacts": artifacts, "kinds": KINDS}

"""Releases: the list, one release, and the form that makes one."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.authz import needs
from apps.core.errors import FleetdError, invalid
from apps.core.ids import parse_uuid, uuid7
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, failure_lines, go
from apps.updates.permissions import CREATE_RELEASE, VIEW_ARTIFACTS, VIEW_RELEASES
from apps.updates.selectors.artifacts import list_artifacts
from apps.updates.selectors.releases import get_release, list_releases
from apps.updates.services.releases import create_release
from apps.updates.types import HOOK_NAMES, NewComponent

CHOOSABLE = 500
KINDS = [
    ("binary", gettext_lazy("Program")),
    ("script", gettext_lazy("Script, run once")),
    ("config", gettext_lazy("Configuration file")),
    ("firmware", gettext_lazy("Firmware slot")),
]
FIRST = {"kind": "binary", "mode": "755", "verify_timeout": "60", "name": "app"}


class ReleaseList(OrgView):
    """All releases, newest first."""

    @needs(VIEW_RELEASES)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        page = list_releases(request.actor, PageRequest.of(None, request.GET.get("page_token")))
        return render(request, "updates/releases.html", {"actor": request.actor, "page": page})


class ReleaseDetail(OrgView):
    """One release and its components."""

    @needs(VIEW_RELEASES)
    def get(self, request: OrgRequest, release_id: UUID) -> HttpResponse:
        """The page."""
        release = get_release(request.actor, release_id)
        context = {
            "actor": request.actor,
            "release": release,
            "components": release.components.all(),
        }
        return render(request, "updates/release.html", context)


class ReleaseNew(OrgView):
    """The form that makes a release."""

    @needs(CREATE_RELEASE)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The form with one component, of the artifact in the address if there is one."""
        row = {**FIRST, "key": "1", "artifact": request.GET.get("artifact", "")}
        return _form(request, {}, [row], [])

    @needs(CREATE_RELEASE)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Makes the release, or shows the form again with what is wrong."""
        rows = [_row(request.POST, key) for key in request.POST.getlist("component")[:32]]
        values = {name: request.POST.get(name, "").strip() for name in ("name", "version", "notes")}
        try:
            release = create_release(
                request.actor, components=[_component(row) for row in rows], **values
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


def _form(
    request: OrgRequest,
    values: Mapping[str, str],
    rows: Iterable[Mapping[str, str]],
    errors: list[str],
) -> HttpResponse:
    context = {
        **_choices(request),
        "actor": request.actor,
        "values": values,
        "rows": rows,
        "errors": errors,
    }
    status = 400 if errors else 200
    return render(request, "updates/release_new.html", context, status=status)


def _choices(request: OrgRequest) -> dict[str, Any]:
    artifacts = list_artifacts(request.actor, PageRequest(size=CHOOSABLE)).items
    return {"artifacts": artifacts, "kinds": KINDS}


def _row(data: Mapping[str, str], key: str) -> dict[str, str]:
    """One component as it was filled in; kept for showing the form again."""
    names = ("name", "kind", "artifact", "target", "mode", *HOOK_NAMES)
    row = {name: data.get(f"{name}-{key}", "").strip() for name in names}
    return {**row, "key": key, "verify_timeout": data.get(f"verify-timeout-{key}", "60")}


def _component(row: Mapping[str, str]) -> NewComponent:
    """The component that a row means. Raises `InvalidRequest` for what cannot be read."""
    artifact_id = parse_uuid(row["artifact"])
    if artifact_id is None:
        raise invalid("artifact", "unknown_artifact", _("Choose an artifact."))
    return NewComponent(
        name=row["name"],
        kind=row["kind"],
        artifact_id=artifact_id,
        target=row["target"],
        file_mode=_mode(row["mode"]),
        hooks={name: _hook(name, row) for name in HOOK_NAMES if row[name]},
    )


def _mode(text: str) -> int:
    try:
        return int(text or "644", 8)
    except ValueError as error:
        message = _("A file mode has three or four octal digits, as 755.")
        raise invalid("file_mode", "invalid_file_mode", message) from error


def _hook(name: str, row: Mapping[str, str]) -> dict[str, Any]:
    """A command line as its words; devices run it without a shell."""
    try:
        command = shlex.split(row[name])
    except ValueError as error:
        message = _("A quotation mark in the command is not closed.")
        raise invalid(f"hooks.{name}", "invalid_command", message) from error
    hook: dict[str, Any] = {"command": command}
    if name == "verify" and row["verify_timeout"].isdigit():
        hook["timeout_seconds"] = int(row["verify_timeout"])
    return hook

"""Artifacts: the list and the upload."""

from typing import Any, BinaryIO, cast
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from apps.core.authz import needs
from apps.core.errors import FleetdError
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, failure_lines, go
from apps.updates.permissions import DELETE_ARTIFACT, STORE_ARTIFACT, VIEW_ARTIFACTS
from apps.updates.selectors.artifacts import list_artifacts
from apps.updates.selectors.use import releases_by_artifact
from apps.updates.services.artifacts import delete_artifact, store_artifact


class ArtifactList(OrgView):
    """All artifacts, newest first."""

    @needs(VIEW_ARTIFACTS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        page = list_artifacts(request.actor, PageRequest.of(None, request.GET.get("page_token")))
        users = releases_by_artifact(request.actor, [artifact.id for artifact in page.items])
        rows = [{"artifact": each, "releases": users.get(each.id, [])} for each in page.items]
        context = {"actor": request.actor, "page": page, "rows": rows}
        return render(request, "updates/artifacts.html", context)


class ArtifactDelete(OrgView):
    """Removes an artifact that no release uses."""

    @needs(DELETE_ARTIFACT)
    def post(self, request: OrgRequest, artifact_id: UUID) -> HttpResponse:
        """Deletes it, or says what uses it."""

        def delete() -> bool:
            delete_artifact(request.actor, artifact_id)
            return True

        attempt(request, delete, _("The artifact is gone."))
        return go(request, "artifacts")


# Django's check of forms reads the whole body: only somebody who is signed in may make it do that.
@method_decorator(csrf_exempt, name="dispatch")
class ArtifactUpload(OrgView):
    """The upload form."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Asks who it is before the body is read, then checks the form's origin as usual."""
        if not request.user.is_authenticated:
            return super().dispatch(request, *args, **kwargs)
        return csrf_protect(super().dispatch)(request, *args, **kwargs)

    @needs(STORE_ARTIFACT)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The form."""
        return self._form(request, [])

    @needs(STORE_ARTIFACT)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Stores the file; its checksum must be the one that the browser computed, if it did."""
        file = request.FILES.get("file")
        if file is None:
            return self._form(request, [_("Choose a file.")])
        try:
            artifact = store_artifact(
                request.actor,
                name=request.POST.get("name", "").strip() or file.name or "",
                file=cast(BinaryIO, file),
                content_type=file.content_type or "",
                expected_sha256=request.POST.get("sha256", ""),
            )
        except FleetdError as error:
            return self._form(request, failure_lines(error))
        messages.success(
            request, _("%(name)s is stored and its checksum is right.") % {"name": artifact.name}
        )
        return go(request, "artifacts")

    def _form(self, request: OrgRequest, errors: list[str]) -> HttpResponse:
        values = {"name": request.POST.get("name", "")}
        context = {"actor": request.actor, "errors": errors, "values": values}
        status = 400 if errors else 200
        return render(request, "updates/artifact_upload.html", context, status=status)

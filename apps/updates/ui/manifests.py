"""A rollout as a manifest: a part of its page, and a file."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render

from apps.core.authz import needs
from apps.core.web import OrgRequest, OrgView
from apps.updates.errors import ManifestCannotSay
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.manifests import export_manifest


class RolloutManifest(OrgView):
    """The YAML of a rollout."""

    @needs(VIEW_ROLLOUTS)
    def get(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """The part alone; what no manifest can say is said in its place."""
        context = {"rollout_id": rollout_id, "text": "", "error": ""}
        try:
            context["text"] = export_manifest(request.actor, rollout_id)
        except ManifestCannotSay as error:
            context["error"] = error.message
        return render(request, "updates/manifest.html", context)


class RolloutManifestFile(OrgView):
    """The same as a file."""

    @needs(VIEW_ROLLOUTS)
    def get(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Named for the rollout's id, whatever people call the rollout."""
        text = export_manifest(request.actor, rollout_id)
        response = HttpResponse(text, "application/yaml; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="rollout-{rollout_id}.yaml"'
        return response

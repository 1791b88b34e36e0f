"""REST addresses of artifacts, releases, rollouts and deployments."""

from typing import Any

from django.urls import URLPattern

from apps.core.rest.views import creates, does, reads, resource
from apps.updates import public, public_releases
from apps.updates.api.artifacts import download_artifact, upload_artifact


def _verb(word: str, operation: Any) -> list[URLPattern]:
    """`POST /rollouts/{id}:word`."""
    return resource(f"rollout-{word}", f"rollouts/<ident:id>:{word}", post=does(operation))


urlpatterns = [
    *resource(
        "artifacts", "artifacts", get=reads(public_releases.list_artifacts), post=upload_artifact
    ),
    *resource("artifact", "artifacts/<ident:id>", get=reads(public_releases.get_artifact)),
    *resource("artifact-content", "artifacts/<ident:id>/content", get=download_artifact),
    *resource(
        "releases",
        "releases",
        get=reads(public_releases.list_releases),
        post=creates(public_releases.create_release),
    ),
    *resource("release", "releases/<ident:id>", get=reads(public_releases.get_release)),
    *resource(
        "rollouts",
        "rollouts",
        get=reads(public.list_rollouts),
        post=creates(public.create_rollout),
    ),
    *resource("rollout", "rollouts/<ident:id>", get=reads(public.get_rollout)),
    *_verb("submit", public.submit_rollout),
    *_verb("approve", public.approve_rollout),
    *_verb("start", public.start_rollout),
    *_verb("pause", public.pause_rollout),
    *_verb("resume", public.resume_rollout),
    *_verb("cancel", public.cancel_rollout),
    *resource(
        "rollout-events",
        "rollouts/<ident:rollout_id>/events",
        get=reads(public.list_rollout_events),
    ),
    *resource("deployments", "deployments", get=reads(public.list_deployments)),
    *resource("deployment", "deployments/<ident:id>", get=reads(public.get_deployment)),
]

"""REST addresses of artifacts, releases, rollouts and deployments."""

from typing import Any

from django.urls import URLPattern

from apps.core.rest.views import creates, does, reads, removes, resource
from apps.updates import (
    public,
    public_attribution,
    public_channels,
    public_cleanup,
    public_forecast,
    public_manifests,
    public_notifications,
    public_releases,
    public_signing,
    public_why,
)
from apps.updates.api.artifacts import download_artifact, upload_artifact
from apps.updates.api.manifests import ADDRESS, plan_from_manifest
from apps.updates.api.repository import download_metadata, download_target
from apps.updates.api.uploads import append_to_upload, tell_upload


def _verb(word: str, operation: Any) -> list[URLPattern]:
    """`POST /rollouts/{id}:word`."""
    return resource(f"rollout-{word}", f"rollouts/<ident:id>:{word}", post=does(operation))


urlpatterns = [
    *resource(
        "artifacts", "artifacts", get=reads(public_releases.list_artifacts), post=upload_artifact
    ),
    *resource(
        "artifact",
        "artifacts/<ident:id>",
        get=reads(public_releases.get_artifact),
        delete=removes(public_cleanup.delete_artifact),
    ),
    *resource(
        "storage-clean-up",
        "storage-clean-up",
        get=reads(public_cleanup.preview_storage_clean_up),
    ),
    *resource(
        "storage-clean-up-run",
        "storage-clean-up:run",
        post=does(public_cleanup.clean_up_storage),
    ),
    *resource("artifact-content", "artifacts/<ident:id>/content", get=download_artifact),
    *resource(
        "artifact-uploads",
        "artifact-uploads",
        post=creates(public_releases.create_artifact_upload),
    ),
    *resource(
        "artifact-upload",
        "artifact-uploads/<ident:id>",
        get=reads(public_releases.get_artifact_upload),
        head=tell_upload,
        patch=append_to_upload,
        delete=removes(public_releases.cancel_artifact_upload),
    ),
    *resource(
        "artifact-upload-complete",
        "artifact-uploads/<ident:id>:complete",
        post=does(public_releases.complete_artifact_upload),
    ),
    *resource(
        "releases",
        "releases",
        get=reads(public_releases.list_releases),
        post=creates(public_releases.create_release),
    ),
    *resource(
        "release",
        "releases/<ident:id>",
        get=reads(public_releases.get_release),
        delete=removes(public_cleanup.delete_release),
    ),
    *resource(
        "release-recall", "releases/<ident:id>:recall", post=does(public_releases.recall_release)
    ),
    *resource(
        "release-deprecate",
        "releases/<ident:id>:deprecate",
        post=does(public_releases.deprecate_release),
    ),
    *resource(
        "release-promote", "releases/<ident:id>:promote", post=does(public_channels.promote_release)
    ),
    *resource(
        "release-channels", "release-channels", get=reads(public_channels.list_release_channels)
    ),
    *resource(
        "release-channel-close",
        "release-channels/<ident:id>:close",
        post=does(public_channels.close_release_channel),
    ),
    *resource(
        "release-sbom",
        "releases/<ident:id>:attach-sbom",
        post=does(public_releases.attach_release_sbom),
    ),
    *resource(
        "release-packages",
        "releases/<ident:id>/packages",
        get=reads(public_releases.list_release_packages),
    ),
    *resource(
        "package-devices", "package-devices", get=reads(public_releases.list_package_devices)
    ),
    *resource(
        "release-adoption",
        "releases/<ident:id>/adoption",
        get=reads(public_releases.get_release_adoption),
    ),
    *resource(
        "release-path", "releases/<ident:id>/path", get=reads(public_releases.get_release_path)
    ),
    *resource(
        "rollouts",
        "rollouts",
        get=reads(public.list_rollouts),
        post=creates(public.create_rollout),
    ),
    *resource("rollout-from-manifest", ADDRESS, post=plan_from_manifest),
    *resource(
        "rollout-manifest",
        "rollouts/<ident:rollout_id>/manifest",
        get=reads(public_manifests.export_rollout_manifest),
    ),
    *resource(
        "rollout",
        "rollouts/<ident:id>",
        get=reads(public.get_rollout),
        put=does(public.update_rollout),
    ),
    *_verb("clone", public.clone_rollout),
    *_verb("retry", public.retry_rollout),
    *_verb("submit", public.submit_rollout),
    *_verb("approve", public.approve_rollout),
    *_verb("reject", public.reject_rollout),
    *_verb("start", public.start_rollout),
    *_verb("pause", public.pause_rollout),
    *_verb("resume", public.resume_rollout),
    *_verb("advance-phase", public.advance_phase),
    *_verb("exclude", public_attribution.exclude_and_continue),
    *resource(
        "rollout-suspects",
        "rollouts/<ident:rollout_id>/suspects",
        get=reads(public_attribution.find_suspects),
    ),
    *resource(
        "rollout-reasons",
        "rollouts/<ident:rollout_id>/reasons",
        get=reads(public_attribution.list_rollout_reasons),
    ),
    *_verb("halt", public.halt_rollout),
    *_verb("roll-back", public.roll_back_rollout),
    *_verb("cancel", public.cancel_rollout),
    *_verb("close", public.close_rollout),
    *resource(
        "rollout-forecast",
        "rollouts/<ident:id>/forecast",
        get=reads(public_forecast.forecast_rollout),
    ),
    *resource("rollout-preview", "rollouts:preview", post=does(public_why.preview_rollout)),
    *resource(
        "rollout-left-out",
        "rollouts:list-left-out",
        post=does(public_why.list_left_out_devices),
    ),
    *resource("device-why", "devices/<ident:id>/why", get=reads(public_why.explain_device)),
    *resource("device-holds", "device-holds", get=reads(public_why.list_device_holds)),
    *resource("device-pin", "devices/<ident:id>:pin", post=does(public_why.pin_device)),
    *resource("device-unpin", "devices/<ident:id>:unpin", post=does(public_why.unpin_device)),
    *resource(
        "rollout-events",
        "rollouts/<ident:rollout_id>/events",
        get=reads(public.list_rollout_events),
    ),
    *resource(
        "rollout-notifications",
        "rollouts/<ident:rollout_id>/notifications",
        get=reads(public_notifications.list_rollout_notifications),
    ),
    *resource("deployments", "deployments", get=reads(public.list_deployments)),
    *resource("deployment", "deployments/<ident:id>", get=reads(public.get_deployment)),
    *resource("signing", "signing", get=reads(public_signing.get_signing_status)),
    *resource("signing-prepare", "signing:prepare", post=does(public_signing.prepare_signing)),
    *resource(
        "signing-renew-keys", "signing:renew-keys", post=does(public_signing.renew_signing_keys)
    ),
    *resource(
        "signing-publish", "signing:publish", post=does(public_signing.publish_signing_metadata)
    ),
    *resource(
        "release-targets",
        "releases/<ident:release_id>/targets",
        get=reads(public_signing.get_release_targets),
    ),
    *resource("signing-metadata", "signing/metadata/<str:name>", get=download_metadata),
    *resource("signing-target", "signing/targets/<path:name>", get=download_target),
]

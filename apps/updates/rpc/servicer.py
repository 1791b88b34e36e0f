"""RPC methods of artifacts, releases, rollouts and deployments."""

from apps.core.public import unary
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
from apps.updates.rpc.events import stream_rollout_events


class UpdatesServicer:
    """The part of FleetService that is about updates."""

    list_artifacts = unary(public_releases.list_artifacts)
    get_artifact = unary(public_releases.get_artifact)
    delete_artifact = unary(public_cleanup.delete_artifact)
    preview_storage_clean_up = unary(public_cleanup.preview_storage_clean_up)
    clean_up_storage = unary(public_cleanup.clean_up_storage)
    create_artifact_upload = unary(public_releases.create_artifact_upload)
    get_artifact_upload = unary(public_releases.get_artifact_upload)
    complete_artifact_upload = unary(public_releases.complete_artifact_upload)
    cancel_artifact_upload = unary(public_releases.cancel_artifact_upload)
    list_releases = unary(public_releases.list_releases)
    get_release = unary(public_releases.get_release)
    create_release = unary(public_releases.create_release)
    recall_release = unary(public_releases.recall_release)
    deprecate_release = unary(public_releases.deprecate_release)
    delete_release = unary(public_cleanup.delete_release)
    promote_release = unary(public_channels.promote_release)
    list_release_channels = unary(public_channels.list_release_channels)
    close_release_channel = unary(public_channels.close_release_channel)
    attach_release_sbom = unary(public_releases.attach_release_sbom)
    list_release_packages = unary(public_releases.list_release_packages)
    list_package_devices = unary(public_releases.list_package_devices)
    get_release_adoption = unary(public_releases.get_release_adoption)
    get_release_path = unary(public_releases.get_release_path)
    list_rollouts = unary(public.list_rollouts)
    get_rollout = unary(public.get_rollout)
    create_rollout = unary(public.create_rollout)
    create_rollout_from_manifest = unary(public_manifests.create_rollout_from_manifest)
    export_rollout_manifest = unary(public_manifests.export_rollout_manifest)
    update_rollout = unary(public.update_rollout)
    clone_rollout = unary(public.clone_rollout)
    retry_rollout = unary(public.retry_rollout)
    forecast_rollout = unary(public_forecast.forecast_rollout)
    submit_rollout = unary(public.submit_rollout)
    approve_rollout = unary(public.approve_rollout)
    reject_rollout = unary(public.reject_rollout)
    start_rollout = unary(public.start_rollout)
    pause_rollout = unary(public.pause_rollout)
    resume_rollout = unary(public.resume_rollout)
    advance_phase = unary(public.advance_phase)
    find_suspects = unary(public_attribution.find_suspects)
    list_rollout_reasons = unary(public_attribution.list_rollout_reasons)
    exclude_and_continue = unary(public_attribution.exclude_and_continue)
    halt_rollout = unary(public.halt_rollout)
    roll_back_rollout = unary(public.roll_back_rollout)
    cancel_rollout = unary(public.cancel_rollout)
    preview_rollout = unary(public_why.preview_rollout)
    list_left_out_devices = unary(public_why.list_left_out_devices)
    explain_device = unary(public_why.explain_device)
    list_device_holds = unary(public_why.list_device_holds)
    pin_device = unary(public_why.pin_device)
    unpin_device = unary(public_why.unpin_device)
    close_rollout = unary(public.close_rollout)
    list_rollout_events = unary(public.list_rollout_events)
    list_rollout_notifications = unary(public_notifications.list_rollout_notifications)
    stream_rollout_events = stream_rollout_events
    list_deployments = unary(public.list_deployments)
    get_deployment = unary(public.get_deployment)
    get_signing_status = unary(public_signing.get_signing_status)
    prepare_signing = unary(public_signing.prepare_signing)
    renew_signing_keys = unary(public_signing.renew_signing_keys)
    publish_signing_metadata = unary(public_signing.publish_signing_metadata)
    get_release_targets = unary(public_signing.get_release_targets)

"""Addresses of artifacts, releases and rollouts."""

from django.urls import path

from apps.updates.ui import (
    adoption,
    artifacts,
    channels,
    decisions,
    forecast,
    holds,
    manifests,
    notifications,
    planning,
    reasons,
    releases,
    rollouts,
    signing,
    suspects,
)

_ROLLOUT = "rollouts/<uuid:rollout_id>"

urlpatterns = [
    path("artifacts", artifacts.ArtifactList.as_view(), name="artifacts"),
    path("artifacts/upload", artifacts.ArtifactUpload.as_view(), name="artifact-upload"),
    path(
        "artifacts/<uuid:artifact_id>/delete",
        artifacts.ArtifactDelete.as_view(),
        name="artifact-delete",
    ),
    path("releases", releases.ReleaseList.as_view(), name="releases"),
    path("releases/new", releases.ReleaseNew.as_view(), name="release-new"),
    path("releases/new/component", releases.ComponentRow.as_view(), name="release-component"),
    path("releases/<uuid:release_id>", releases.ReleaseDetail.as_view(), name="release"),
    path(
        "releases/<uuid:release_id>/recall",
        releases.ReleaseRecall.as_view(),
        name="release-recall",
    ),
    path(
        "releases/<uuid:release_id>/promote",
        channels.ReleasePromote.as_view(),
        name="release-promote",
    ),
    path(
        "releases/channels/<uuid:promotion_id>/close",
        channels.ReleaseChannelClose.as_view(),
        name="release-channel-close",
    ),
    path("releases/<uuid:release_id>/sbom", releases.ReleaseSbom.as_view(), name="release-sbom"),
    path(
        "releases/<uuid:release_id>/deprecate",
        releases.ReleaseDeprecate.as_view(),
        name="release-deprecate",
    ),
    path(
        "releases/<uuid:release_id>/adoption",
        adoption.ReleaseAdoption.as_view(),
        name="release-adoption",
    ),
    path("rollouts", rollouts.RolloutList.as_view(), name="rollouts"),
    path("rollouts/new", planning.RolloutNew.as_view(), name="rollout-new"),
    path("rollouts/new/preview", planning.RolloutPreview.as_view(), name="rollout-preview"),
    path("rollouts/new/excluded", planning.RolloutExcluded.as_view(), name="rollout-excluded"),
    path(f"{_ROLLOUT}/plan", planning.RolloutPlan.as_view(), name="rollout-plan"),
    path(_ROLLOUT, rollouts.RolloutDetail.as_view(), name="rollout"),
    path(f"{_ROLLOUT}/forecast", forecast.RolloutForecastPart.as_view(), name="rollout-forecast"),
    path(f"{_ROLLOUT}/manifest", manifests.RolloutManifest.as_view(), name="rollout-manifest"),
    path(
        f"{_ROLLOUT}/manifest.yaml",
        manifests.RolloutManifestFile.as_view(),
        name="rollout-manifest-file",
    ),
    path(f"{_ROLLOUT}/submit", rollouts.RolloutSubmit.as_view(), name="rollout-submit"),
    path(f"{_ROLLOUT}/approve", rollouts.RolloutApprove.as_view(), name="rollout-approve"),
    path(f"{_ROLLOUT}/start", rollouts.RolloutStart.as_view(), name="rollout-start"),
    path(f"{_ROLLOUT}/pause", rollouts.RolloutPause.as_view(), name="rollout-pause"),
    path(f"{_ROLLOUT}/resume", rollouts.RolloutResume.as_view(), name="rollout-resume"),
    path(f"{_ROLLOUT}/cancel", rollouts.RolloutCancel.as_view(), name="rollout-cancel"),
    path(f"{_ROLLOUT}/reject", decisions.RolloutReject.as_view(), name="rollout-reject"),
    path(f"{_ROLLOUT}/advance", decisions.RolloutAdvance.as_view(), name="rollout-advance"),
    path(f"{_ROLLOUT}/why", reasons.RolloutWhy.as_view(), name="rollout-why"),
    path(f"{_ROLLOUT}/suspects", suspects.RolloutSuspects.as_view(), name="rollout-suspects"),
    path(f"{_ROLLOUT}/exclude", suspects.RolloutExclude.as_view(), name="rollout-exclude"),
    path(f"{_ROLLOUT}/mails", notifications.RolloutMails.as_view(), name="rollout-mails"),
    path(f"{_ROLLOUT}/halt", decisions.RolloutHalt.as_view(), name="rollout-halt"),
    path(f"{_ROLLOUT}/roll-back", decisions.RolloutRollBack.as_view(), name="rollout-roll-back"),
    path(f"{_ROLLOUT}/clone", decisions.RolloutClone.as_view(), name="rollout-clone"),
    path(f"{_ROLLOUT}/retry", decisions.RolloutRetry.as_view(), name="rollout-retry"),
    path("devices/<uuid:device_id>/pin", holds.DevicePin.as_view(), name="device-pin"),
    path("devices/<uuid:device_id>/unpin", holds.DeviceUnpin.as_view(), name="device-unpin"),
    path("settings/signing", signing.Signing.as_view(), name="settings-signing"),
]

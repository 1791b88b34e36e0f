"""What can go wrong with artifacts, releases and rollouts."""

from apps.core.errors import FleetdError, Kind, PermissionDenied, Stale, Unavailable, invalid

MAX_REASON = 300


class ArtifactDigestMismatch(FleetdError):
    kind, code = Kind.INVALID, "artifact_digest_mismatch"
    default_message = "The file's SHA-256 is not the one that was announced."


class ArtifactTooLarge(FleetdError):
    kind, code = Kind.INVALID, "artifact_too_large"
    default_message = "The file is larger than this installation accepts."


class ArtifactEmpty(FleetdError):
    kind, code = Kind.INVALID, "artifact_empty"
    default_message = "The file is empty."


class ArtifactInUse(FleetdError):
    kind, code = Kind.STATE, "artifact_in_use"
    default_message = "A release uses this artifact."


class UploadOffsetWrong(FleetdError):
    kind, code = Kind.STATE, "upload_offset_wrong"
    default_message = "The part does not begin where the stored bytes end."


class UploadBusy(FleetdError):
    kind, code = Kind.STATE, "upload_busy"
    default_message = "Another part of this upload is being stored."


class UploadIncomplete(FleetdError):
    kind, code = Kind.STATE, "upload_incomplete"
    default_message = "Bytes of the file are missing still."


class UploadsTooMany(FleetdError):
    kind, code = Kind.EXHAUSTED, "uploads_too_many"
    default_message = "Too many uploads are open. Finish or cancel some."


class StorageFull(Unavailable):
    code = "storage_full"
    default_message = "There is no room left for artifacts. Nothing was stored."


class ReleaseVersionTaken(FleetdError):
    kind, code = Kind.CONFLICT, "release_version_taken"
    default_message = "This version of the release exists already. Releases never change."


class RecalledRelease(FleetdError):
    kind, code = Kind.STATE, "release_recalled"
    default_message = "The release was recalled. Choose another one."


class UnknownRelease(FleetdError):
    kind, code = Kind.INVALID, "unknown_release"
    default_message = "There is no such release."


class ChannelMoved(Stale):
    code = "channel_moved"
    default_message = "The channel points at another release by now. Look at it again."


class ReleaseInUse(FleetdError):
    kind, code = Kind.STATE, "release_in_use"
    default_message = "The release is in use."


class ReleaseFilesRemoved(FleetdError):
    kind, code = Kind.STATE, "release_files_removed"
    default_message = "The files of this release were removed. Make it again as another version."


class ArtifactFileRemoved(FleetdError):
    kind, code = Kind.STATE, "artifact_file_removed"
    default_message = "The bytes of this artifact were removed. Upload them again."


class RolloutTargetEmpty(FleetdError):
    kind, code = Kind.INVALID, "rollout_target_empty"
    default_message = "The target names no active device that would get the release."


class RolloutNotDraft(FleetdError):
    kind, code = Kind.STATE, "rollout_not_draft"
    default_message = "Only a draft can be submitted."


class RolloutNotPendingApproval(FleetdError):
    kind, code = Kind.STATE, "rollout_not_pending_approval"
    default_message = "The rollout does not wait for approval."


class RolloutNeedsApproval(FleetdError):
    kind, code = Kind.STATE, "rollout_needs_approval"
    default_message = "Another person has to approve the plan before it can start."


class RolloutNotStartable(FleetdError):
    kind, code = Kind.STATE, "rollout_not_startable"
    default_message = "The rollout was started already, or is over."


class RolloutNotRunning(FleetdError):
    kind, code = Kind.STATE, "rollout_not_running"
    default_message = "Only a running rollout can be paused."


class RolloutNotPaused(FleetdError):
    kind, code = Kind.STATE, "rollout_not_paused"
    default_message = "Only a paused rollout can be resumed."


class RolloutFinished(FleetdError):
    kind, code = Kind.STATE, "rollout_finished"
    default_message = "The rollout is over already."


class PhaseNotAdvanceable(FleetdError):
    kind, code = Kind.STATE, "phase_not_advanceable"
    default_message = "This phase waits for nobody: its gate has decided, or it is not its turn."


class RolloutNotContinuable(FleetdError):
    kind, code = Kind.STATE, "rollout_not_continuable"
    default_message = "Only a rollout at work, or halted by its gate, goes on without some devices."


class NothingToExclude(FleetdError):
    kind, code = Kind.STATE, "nothing_to_exclude"
    default_message = "No device of this rollout has this."


class GateStillHalts(FleetdError):
    kind, code = Kind.STATE, "gate_still_halts"
    default_message = "The other devices are too bad as well."


class NothingToRetry(FleetdError):
    kind, code = Kind.STATE, "nothing_to_retry"
    default_message = "No device of this rollout has failed."


class NothingToRollBack(FleetdError):
    kind, code = Kind.STATE, "nothing_to_roll_back"
    default_message = "No device of this rollout has an earlier release to go back to."


class RolloutNotReversible(FleetdError):
    kind, code = Kind.STATE, "rollout_not_reversible"
    default_message = "Only a rollout that was halted or is complete can be rolled back."


class ApprovalNeedsAnotherPerson(PermissionDenied):
    code = "approval_needs_another_person"
    default_message = "Somebody other than the rollout's maker has to approve it."


class PlanChanged(Stale):
    code = "plan_changed"
    default_message = "The plan is not the one that this approval is for."


class LinkInvalid(PermissionDenied):
    code = "link_invalid"
    default_message = "This link was not made by this platform."


class LinkExpired(PermissionDenied):
    code = "link_expired"
    default_message = "This link has expired. Ask for a new one."


class ReleaseNotSigned(FleetdError):
    kind, code = Kind.STATE, "release_not_signed"
    default_message = (
        "The release is not signed. Sign it with `fleetctl sign release`, or allow unsigned "
        "releases for a trial."
    )


class SigningNotPrepared(FleetdError):
    kind, code = Kind.STATE, "signing_not_prepared"
    default_message = "The platform has no keys for this organization yet: prepare signing first."


class SigningMetadataRefused(FleetdError):
    """`data["reason"]` and the field's code say why, in a stable word."""

    kind, code = Kind.INVALID, "signing_metadata_refused"
    default_message = "The metadata is refused."


def checked_reason(reason: str, *, most: int = MAX_REASON, is_one_line: bool = True) -> str:
    """Why somebody does this, in one line unless more are allowed. Raises `InvalidRequest`."""
    reason = reason.strip()
    shown = reason if is_one_line else "".join(reason.split())
    if not 0 < len(reason) <= most or not shown.isprintable():
        lines = ", in one line of" if is_one_line else ", in"
        raise invalid("reason", "invalid_reason", f"Say why{lines} at most {most} characters.")
    return reason


class RolloutNotForecastable(FleetdError):
    kind, code = Kind.STATE, "rollout_not_forecastable"
    default_message = "Only a rollout that has not started yet can be forecast."


class ForecastTooLarge(FleetdError):
    kind, code = Kind.INVALID, "forecast_too_large"
    default_message = "The rollout has too many devices for a forecast."


class ForecastTooSlow(Unavailable):
    code = "forecast_too_slow"
    default_message = "The forecast took too long. Try again later, or with fewer runs."


class InvalidManifest(FleetdError):
    """`data["problems"]` lists every problem with line, column, path and message."""

    kind, code = Kind.INVALID, "invalid_manifest"
    default_message = "The manifest cannot be carried out."


class ManifestCannotSay(FleetdError):
    kind, code = Kind.STATE, "manifest_cannot_say"
    default_message = "No manifest can say what this rollout is."

"""Rights on artifacts, releases, rollouts and deployments."""

from apps.core.authz import ADMINS, DEPLOYERS, MEMBERS, OPERATORS, READERS, declare

VIEW_ARTIFACTS = declare("updates.view_artifacts", "see and download artifacts", MEMBERS)
STORE_ARTIFACT = declare("updates.store_artifact", "upload artifacts", DEPLOYERS)
DELETE_ARTIFACT = declare("updates.delete_artifact", "delete artifacts", DEPLOYERS)
# Unfinished uploads and files that nothing names go with it as well.
CLEAN_UP_STORAGE = declare(
    "updates.clean_up_storage", "remove releases and files that nothing uses", DEPLOYERS
)
VIEW_RELEASES = declare("updates.view_releases", "see releases", MEMBERS)
CREATE_RELEASE = declare("updates.create_release", "make releases", DEPLOYERS)
DELETE_RELEASE = declare("updates.delete_release", "remove releases", DEPLOYERS)
# Stopping is safe, so whoever looks after the devices may do it.
RECALL_RELEASE = declare("updates.recall_release", "recall releases", OPERATORS | DEPLOYERS)
DEPRECATE_RELEASE = declare("updates.deprecate_release", "advise against releases", DEPLOYERS)
PROMOTE_RELEASE = declare(
    "updates.promote_release", "say which releases channels point at", DEPLOYERS
)
ATTACH_RELEASE_SBOM = declare(
    "updates.attach_release_sbom", "attach bills of materials to releases", DEPLOYERS
)
VIEW_ROLLOUTS = declare(
    "updates.view_rollouts", "see rollouts and their log", READERS, per_group=True
)
VIEW_DEPLOYMENTS = declare("updates.view_deployments", "see deployments", READERS, per_group=True)
CREATE_ROLLOUT = declare("updates.create_rollout", "plan rollouts", DEPLOYERS, per_group=True)
SUBMIT_ROLLOUT = declare(
    "updates.submit_rollout", "submit rollouts for approval", DEPLOYERS, per_group=True
)
APPROVE_ROLLOUT = declare(
    "updates.approve_rollout", "approve rollouts of others", DEPLOYERS, per_group=True
)
START_ROLLOUT = declare("updates.start_rollout", "start rollouts", DEPLOYERS, per_group=True)
RESUME_ROLLOUT = declare(
    "updates.resume_rollout", "resume paused rollouts", DEPLOYERS, per_group=True
)
# Stopping is safe, so whoever looks after the devices may do it.
PAUSE_ROLLOUT = declare(
    "updates.pause_rollout", "pause rollouts", OPERATORS | DEPLOYERS, per_group=True
)
CANCEL_ROLLOUT = declare(
    "updates.cancel_rollout", "cancel rollouts", OPERATORS | DEPLOYERS, per_group=True
)
VIEW_SIGNING = declare("updates.view_signing", "see what releases are signed with", MEMBERS)
# What they publish is signed with keys that the platform never sees; this lets them hand it in.
MANAGE_SIGNING = declare(
    "updates.manage_signing", "publish signed metadata of releases", ADMINS | DEPLOYERS
)
HALT_ROLLOUT = declare(
    "updates.halt_rollout", "halt rollouts for good", OPERATORS | DEPLOYERS, per_group=True
)
ADVANCE_PHASE = declare(
    "updates.advance_phase", "pass gates and open phases by hand", DEPLOYERS, per_group=True
)
ROLL_BACK_ROLLOUT = declare(
    "updates.roll_back_rollout", "bring devices back to earlier releases", DEPLOYERS, per_group=True
)
ALLOW_DOWNGRADE = declare(
    "updates.allow_downgrade", "plan rollouts to older versions", DEPLOYERS, per_group=True
)
PIN_DEVICE = declare(
    "updates.pin_device", "keep rollouts away from devices", OPERATORS | DEPLOYERS, per_group=True
)
UNPIN_DEVICE = declare(
    "updates.unpin_device", "let rollouts reach pinned devices", OPERATORS, per_group=True
)
# No role holds these: they are the platform's own, and gateways act for devices with them.
QUARANTINE_FAILING_DEVICE = declare(
    "updates.quarantine_failing_device", "keep rollouts from devices that keep failing", ()
)
ADVANCE_ROLLOUT = declare("updates.advance_rollout", "judge gates and open phases", ())
REFRESH_SIGNING = declare("updates.refresh_signing", "sign snapshots and timestamps anew", ())
SEND_NOTIFICATIONS = declare("updates.send_notifications", "send mails about rollouts", ())
CLAIM_DEPLOYMENTS = declare("updates.claim_deployments", "hand deployments to devices", ())
APPLY_REPORTS = declare("updates.apply_reports", "take devices' reports", ())

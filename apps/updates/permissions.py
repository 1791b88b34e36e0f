"""Rights on artifacts, releases, rollouts and deployments."""

from apps.core.authz import DEPLOYERS, OPERATORS, READERS, declare

VIEW_ARTIFACTS = declare("updates.view_artifacts", "see and download artifacts", READERS)
STORE_ARTIFACT = declare("updates.store_artifact", "upload artifacts", DEPLOYERS)
DELETE_ARTIFACT = declare("updates.delete_artifact", "delete artifacts", DEPLOYERS)
VIEW_RELEASES = declare("updates.view_releases", "see releases", READERS)
CREATE_RELEASE = declare("updates.create_release", "make releases", DEPLOYERS)
VIEW_ROLLOUTS = declare("updates.view_rollouts", "see rollouts and their log", READERS)
VIEW_DEPLOYMENTS = declare("updates.view_deployments", "see deployments", READERS)
CREATE_ROLLOUT = declare("updates.create_rollout", "plan rollouts", DEPLOYERS)
SUBMIT_ROLLOUT = declare("updates.submit_rollout", "submit rollouts for approval", DEPLOYERS)
APPROVE_ROLLOUT = declare("updates.approve_rollout", "approve rollouts of others", DEPLOYERS)
START_ROLLOUT = declare("updates.start_rollout", "start rollouts", DEPLOYERS)
RESUME_ROLLOUT = declare("updates.resume_rollout", "resume paused rollouts", DEPLOYERS)
# Stopping is safe, so whoever looks after the devices may do it.
PAUSE_ROLLOUT = declare("updates.pause_rollout", "pause rollouts", OPERATORS | DEPLOYERS)
CANCEL_ROLLOUT = declare("updates.cancel_rollout", "cancel rollouts", OPERATORS | DEPLOYERS)
# No role holds these: they are the platform's own, and gateways act for devices with them.
ADVANCE_ROLLOUT = declare("updates.advance_rollout", "judge gates and open phases", ())
CLAIM_DEPLOYMENTS = declare("updates.claim_deployments", "hand deployments to devices", ())
APPLY_REPORTS = declare("updates.apply_reports", "take devices' reports", ())

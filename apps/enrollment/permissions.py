"""Rights on enrollment tokens and device certificates."""

from apps.core.authz import OPERATORS, READERS, declare

VIEW_ENROLLMENT_TOKENS = declare(
    "enrollment.view_enrollment_tokens",
    "see enrollment tokens and what came of them",
    READERS,
    per_group=True,
)
CREATE_ENROLLMENT_TOKEN = declare(
    "enrollment.create_enrollment_token", "make enrollment tokens", OPERATORS, per_group=True
)
REVOKE_ENROLLMENT_TOKEN = declare(
    "enrollment.revoke_enrollment_token", "revoke enrollment tokens", OPERATORS, per_group=True
)
REVOKE_CERTIFICATES = declare(
    "enrollment.revoke_certificates",
    "revoke the certificates of a device",
    OPERATORS,
    per_group=True,
)
# No role holds these: they are the platform's own and each device's, for itself.
ISSUE_CERTIFICATE = declare("enrollment.issue_certificate", "issue a certificate to a device", ())
RENEW_CERTIFICATE = declare("enrollment.renew_certificate", "renew one's own certificate", ())

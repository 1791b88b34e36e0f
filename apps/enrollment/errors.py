"""What can go wrong when a device joins, or shows its certificate."""

from apps.core.errors import FleetdError, Kind, Unauthenticated


class EnrollmentTokenInvalid(Unauthenticated):
    """Malformed or unknown: which one is not said."""

    code = "enrollment_token_invalid"
    default_message = "This enrollment token is not valid."


class EnrollmentTokenExpired(Unauthenticated):
    """Said only to whoever holds the secret."""

    code = "enrollment_token_expired"
    default_message = "This enrollment token has expired. Ask for a new one."


class EnrollmentTokenUsedUp(Unauthenticated):
    """Said only to whoever holds the secret."""

    code = "enrollment_token_used_up"
    default_message = "This enrollment token has been used up. Ask for a new one."


class EnrollmentTokenRevoked(Unauthenticated):
    """Said only to whoever holds the secret."""

    code = "enrollment_token_revoked"
    default_message = "This enrollment token has been revoked. Ask for a new one."


class CsrInvalid(FleetdError):
    kind, code = Kind.INVALID, "csr_invalid"
    default_message = "The certificate signing request cannot be read, or its signature is wrong."


class CsrKeyUnsupported(FleetdError):
    kind, code = Kind.INVALID, "csr_key_unsupported"
    default_message = "The key must be ECDSA on the curve P-256."


class CertificateUnknown(Unauthenticated):
    code = "certificate_unknown"
    default_message = "This certificate was not issued by this platform."


class CertificateRevoked(Unauthenticated):
    code = "certificate_revoked"
    default_message = "This certificate has been revoked."


class CertificateExpired(Unauthenticated):
    code = "certificate_expired"
    default_message = "This certificate has expired. Enroll again."


class AuthorityMissing(FleetdError):
    kind, code = Kind.UNAVAILABLE, "certificate_authority_missing"
    default_message = "The certificate authority is not set up yet. Run `manage.py ensure_ca`."

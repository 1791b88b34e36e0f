"""What can go wrong with the audit trail."""

from apps.core.errors import FleetdError, Kind


class SigningKeyMissing(FleetdError):
    """Nothing can be signed until the installation has its key."""

    kind, code = Kind.UNAVAILABLE, "audit_key_missing"
    default_message = "The key that signs the audit trail is not there: run `fleetd up` once."


class ChainBroken(FleetdError):
    """What was tampered with is not signed; `data` says where it begins."""

    kind, code = Kind.STATE, "audit_chain_broken"
    default_message = "The audit trail was tampered with."


class NothingToPrune(FleetdError):
    """Only whole segments under a signed checkpoint are ever deleted."""

    kind, code = Kind.STATE, "nothing_to_prune"
    default_message = "No checkpointed segment lies wholly before this time."

"""What one device is told to install, signed for it alone (Uptane's director)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.updates.domain.signing import canonical_json

TYPE = "fleetd-instruction"
FORMAT = 1
LIFETIME = timedelta(days=1)
"""Links and instructions are renewed within the hour; a day bears a clock that is off."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. `targets` holds path, SHA-256 and length of every file."""

    organization_id: UUID
    device_id: UUID
    deployment_id: UUID
    rollout_id: UUID
    counter: int
    issued_at: datetime
    allow_downgrade: bool
    targets: Iterable[tuple[str, str, int]]

    def signed_part(self) -> dict[str, Any]:
        """As JSON holds it; times are RFC 3339 in UTC with whole seconds."""
        return {
            "_type": TYPE,
            "format": FORMAT,
            "organization_id": str(self.organization_id),
            "device_id": str(self.device_id),
            "deployment_id": str(self.deployment_id),
            "rollout_id": str(self.rollout_id),
            "counter": self.counter,
            "issued": _text(self.issued_at),
            "expires": _text(self.issued_at + LIFETIME),
            "allow_downgrade": self.allow_downgrade,
            "targets": [
                {"path": path, "sha256": sha256, "length": length}
                for path, sha256, length in self.targets
            ],
        }


def sign_instruction(instruction: Instruction, key: Ed25519PrivateKey, key_id: str) -> bytes:
    """`{"signatures": [{"keyid", "sig"}], "signed": {…}}`, signed over canonical JSON."""
    signed = instruction.signed_part()
    signature = key.sign(canonical_json(signed)).hex()
    return orjson.dumps({"signatures": [{"keyid": key_id, "sig": signature}], "signed": signed})


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""What passes through enrollment: events, what a device sends, and what it gets."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from apps.devices.types import Facts
from apps.events.types import Event


@dataclass(frozen=True, kw_only=True)
class EnrollmentEvent(Event):
    """Something that happened to a token."""

    token_id: UUID

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """The panel that waits for devices of this token."""
        return (f"enroll.{self.token_id}",)


@dataclass(frozen=True, kw_only=True)
class EnrollmentTokenCreated(EnrollmentEvent):
    """A token was made."""

    type: ClassVar[str] = "enrollment.token.created.v1"


@dataclass(frozen=True, kw_only=True)
class EnrollmentTokenRevoked(EnrollmentEvent):
    """A token stopped working."""

    type: ClassVar[str] = "enrollment.token.revoked.v1"


@dataclass(frozen=True, kw_only=True)
class InstallerFetched(EnrollmentEvent):
    """Somebody fetched the installer with the command that was shown for the token."""

    type: ClassVar[str] = "enrollment.installer.fetched.v1"

    address: str


@dataclass(frozen=True, kw_only=True)
class EnrollmentAnswered(EnrollmentEvent):
    """A device asked to join: `outcome` is accepted, pending, or the code of the refusal."""

    type: ClassVar[str] = "enrollment.enrollment.answered.v1"

    enrollment_id: UUID
    outcome: str


@dataclass(frozen=True, slots=True)
class EnrollmentRequest:
    """What a device sends to join."""

    token: str
    csr_pem: str
    hardware_id: str
    agent_version: str = ""
    facts: Facts = Facts()


@dataclass(frozen=True, slots=True)
class EnrollmentResult:
    """What it gets. `chain_pem` is empty while the device waits for approval."""

    device_id: UUID
    organization_id: UUID
    root_pem: str
    chain_pem: str = ""
    retry_after_seconds: int = 0
    # The TUF root that the device is to trust; empty where the organization signs nothing yet.
    trusted_root: str = ""

    @property
    def is_pending(self) -> bool:
        """Whether a person has to approve the device first."""
        return not self.chain_pem


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A renewed certificate: leaf and issuing certificate, and what the device trusts."""

    chain_pem: str
    root_pem: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """The device behind a certificate that may be used now."""

    device_id: UUID
    organization_id: UUID
    lifecycle: str
    serial: str
    not_after: datetime

"""internal.agent.v1.EnrollmentService, on the web port: devices have no certificate yet."""

from typing import Any

from django.conf import settings

from apps.core.rpc import current_call, orm
from apps.devices.types import Facts
from apps.enrollment.services.enroll import enroll_device
from apps.enrollment.types import EnrollmentRequest
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb


class EnrollmentServicer:
    """Devices join here."""

    async def enroll(self, request: pb.EnrollRequest, ctx: Any) -> pb.EnrollResponse:
        """The token is the credential; the organization is the token's."""
        wanted = EnrollmentRequest(
            token=request.token,
            csr_pem=request.csr_pem,
            hardware_id=request.hardware_id,
            agent_version=request.agent_version,
            facts=facts_of(request.inventory, hostname=request.hostname),
        )
        result = await orm(None, enroll_device, current_call(), wanted)
        is_pending = result.is_pending
        return pb.EnrollResponse(
            device_id=str(result.device_id),
            organization_id=str(result.organization_id),
            status=pb.ENROLLMENT_STATUS_PENDING if is_pending else pb.ENROLLMENT_STATUS_ACCEPTED,
            certificate_chain_pem=result.chain_pem,
            root_pem=result.root_pem,
            agent_address=str(settings.AGENT_EXTERNAL_ADDRESS),
            retry_after_seconds=result.retry_after_seconds,
            trusted_root=result.trusted_root,
        )


def facts_of(inventory: pb.Inventory, *, hostname: str = "") -> Facts:
    """An inventory as the devices app knows it."""
    return Facts(
        os_name=inventory.os_name,
        os_version=inventory.os_version,
        kernel=inventory.kernel,
        architecture=inventory.architecture,
        model=inventory.model,
        serial=inventory.serial,
        hostname=inventory.hostname or hostname,
        details={
            "cpu_model": inventory.cpu_model,
            "cpu_count": inventory.cpu_count,
            "memory_bytes": inventory.memory_bytes,
            "disk_bytes": inventory.disk_bytes,
            "ip_addresses": list(inventory.ip_addresses),
            "facts": dict(inventory.facts),
        },
        installed=dict(inventory.installed),
    )

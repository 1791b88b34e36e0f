"""Organizations as messages."""

from apps.core.public import enum_value, timestamp
from apps.organizations.models import Organization
from fleetd.pb.public.v1 import organization_pb2


def organization_message(organization: Organization) -> organization_pb2.Organization:
    """An organization."""
    return organization_pb2.Organization(
        id=str(organization.id),
        slug=organization.slug,
        name=organization.name,
        created_at=timestamp(organization.created_at),
        status=enum_value(organization_pb2.OrganizationStatus, organization.status),
        deletes_at=timestamp(organization.deletes_at),
        status_reason=organization.status_reason,
    )

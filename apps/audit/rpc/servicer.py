"""RPC methods of the audit trail."""

from apps.audit import public
from apps.core.public import unary


class AuditServicer:
    """The part of OrganizationService that is about the audit trail."""

    list_audit_entries = unary(public.list_audit_entries)
    get_audit_entry = unary(public.get_audit_entry)
    list_audit_checkpoints = unary(public.list_audit_checkpoints)

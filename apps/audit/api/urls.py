"""REST addresses of the audit trail."""

from apps.audit import public
from apps.audit.api.exports import exports
from apps.core.rest.views import reads, resource

urlpatterns = [
    *resource("audit-entries", "audit-entries", get=exports(reads(public.list_audit_entries))),
    *resource("audit-entry", "audit-entries/<ident:id>", get=reads(public.get_audit_entry)),
    *resource("audit-checkpoints", "audit-checkpoints", get=reads(public.list_audit_checkpoints)),
]

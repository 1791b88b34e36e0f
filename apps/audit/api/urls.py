"""REST addresses of the audit trail."""

from apps.audit import public
from apps.core.rest.views import reads, resource

urlpatterns = [
    *resource("audit-entries", "audit-entries", get=reads(public.list_audit_entries)),
    *resource("audit-entry", "audit-entries/<ident:id>", get=reads(public.get_audit_entry)),
]

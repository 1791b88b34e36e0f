"""Rights on the audit trail."""

from apps.core.authz import AUDITORS, declare

VIEW_ENTRIES = declare("audit.view_entries", "read the audit trail", AUDITORS)

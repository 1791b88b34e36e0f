"""Rights on the audit trail."""

from apps.core.authz import AUDITORS, declare

VIEW_ENTRIES = declare("audit.view_entries", "read the audit trail", AUDITORS)
VERIFY_CHAIN = declare("audit.verify_chain", "have the audit trail's chain checked", AUDITORS)

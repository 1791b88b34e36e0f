"""The audit trail in the admin: read-only for everybody."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.audit.models import AuditCheckpoint, AuditEntry, AuditHead, AuditVerification
from apps.audit.permissions import VIEW_ENTRIES
from apps.core.org_admin.cells import digest, when
from apps.core.org_admin.model_admin import OrgModelAdmin


@admin.register(AuditEntry)
class AuditEntryAdmin(OrgModelAdmin):
    """Who did what to which object, through which door."""

    view_permission = VIEW_ENTRIES
    page = "audit-entry"
    list_display = ("sequence", "at", "action", "result", "actor_label", "object_label", "source")
    list_display_links = ("sequence", "action")
    list_filter = ("result", ("time", admin.DateFieldListFilter))
    search_fields = ("^action", "=object_id", "=request_id", "^actor_label")
    search_help_text = "Beginning of an action or actor, or a whole object or request id"
    ordering = ("-sequence",)
    sortable_by = ("sequence",)
    hidden_fields = ("changes", "hash", "previous_hash")
    extra_fields = ("changed", "chain")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Everything."""
        return self.get_fields(request, obj)

    @admin.display(description="time")
    def at(self, entry: AuditEntry) -> SafeString:
        """When it happened."""
        return when(entry.time)

    @admin.display(description="changes")
    def changed(self, entry: AuditEntry) -> SafeString:
        """Each changed field with its value before and after."""
        rows = (_change(name, value) for name, value in sorted(entry.changes.items()))
        body = format_html_join("", "<tr><th>{}</th><td>{}</td><td>{}</td></tr>", rows)
        if not body:
            return format_html("{}", "–")
        return format_html(
            '<table class="changes"><thead><tr><th>field</th><th>before</th><th>after</th></tr>'
            "</thead><tbody>{}</tbody></table>",
            body,
        )

    @admin.display(description="hash")
    def chain(self, entry: AuditEntry) -> SafeString:
        """The entry's hash and the one that it follows."""
        return format_html("{} after {}", digest(entry.hash), digest(entry.previous_hash))


@admin.register(AuditHead)
class AuditHeadAdmin(OrgModelAdmin):
    """The end of the organization's chain."""

    view_permission = VIEW_ENTRIES
    list_display = ("sequence", "newest_hash")
    hidden_fields = ("hash",)
    extra_fields = ("newest_hash",)

    @admin.display(description="hash of the newest entry")
    def newest_hash(self, head: AuditHead) -> SafeString:
        """What the next entry will follow."""
        return digest(head.hash)


@admin.register(AuditCheckpoint)
class AuditCheckpointAdmin(OrgModelAdmin):
    """A signature over the chain as far as one entry."""

    view_permission = VIEW_ENTRIES
    list_display = ("sequence", "since", "signed_at", "key_id")
    ordering = ("-sequence",)
    sortable_by = ("sequence",)
    hidden_fields = ("time", "head_hash", "root", "public_key", "signature")
    extra_fields = ("signed_at", "hash_signed", "root_signed")

    @admin.display(description="time")
    def signed_at(self, checkpoint: AuditCheckpoint) -> SafeString:
        """When it was signed."""
        return when(checkpoint.time)

    @admin.display(description="hash of the newest entry")
    def hash_signed(self, checkpoint: AuditCheckpoint) -> SafeString:
        """Where the chain stood."""
        return digest(checkpoint.head_hash)

    @admin.display(description="Merkle root")
    def root_signed(self, checkpoint: AuditCheckpoint) -> SafeString:
        """Over the entries since the checkpoint before."""
        return digest(checkpoint.root)


@admin.register(AuditVerification)
class AuditVerificationAdmin(OrgModelAdmin):
    """How far the chain was checked, and what was found."""

    view_permission = VIEW_ENTRIES
    list_display = ("sequence", "time", "whole_time", "broken_sequence", "finding")


def _change(name: str, value: Any) -> tuple[str, str, str]:
    """A field with its values before and after; a plain value belongs to something new."""
    if isinstance(value, list) and len(value) == 2:
        return name, str(value[0]), str(value[1])
    return name, "", str(value)

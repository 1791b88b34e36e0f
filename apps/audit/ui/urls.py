"""Addresses of the audit trail."""

from django.urls import path

from apps.audit.ui import entries

urlpatterns = [
    path("audit", entries.EntryList.as_view(), name="audit-entries"),
    path("audit/<uuid:entry_id>", entries.EntryDetail.as_view(), name="audit-entry"),
]

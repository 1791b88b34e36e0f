"""Addresses of the audit trail."""

from django.urls import path

from apps.audit.ui import entries

urlpatterns = [
    path("audit", entries.EntryList.as_view(), name="audit-entries"),
    path("audit/verify", entries.ChainCheck.as_view(), name="audit-verify"),
    path("audit/verifier", entries.VerifierFile.as_view(), name="audit-verifier"),
    path("audit/export/<slug:ending>", entries.EntryFile.as_view(), name="audit-file"),
    path("audit/<uuid:entry_id>", entries.EntryDetail.as_view(), name="audit-entry"),
]

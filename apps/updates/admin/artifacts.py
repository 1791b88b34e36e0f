"""Artifacts in the admin."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from apps.core.org_admin.cells import digest, when
from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.core.org_admin.scoping import actor_of
from apps.updates.models import Artifact, ArtifactUpload
from apps.updates.permissions import (
    DELETE_ARTIFACT,
    STORE_ARTIFACT,
    VIEW_ARTIFACTS,
)
from apps.updates.services.artifacts import delete_artifact


@admin.register(Artifact)
class ArtifactAdmin(OrgModelAdmin):
    """Stored files. They are uploaded in the web UI or over REST, which stream them."""

    view_permission = VIEW_ARTIFACTS
    delete_permission = DELETE_ARTIFACT
    list_display = ("name", "size", "sum", "content_type", "created_by", "created")
    search_fields = ("name", "^sha256")
    ordering = ("-id",)
    sortable_by = ("name",)

    def delete_object(self, request: HttpRequest, obj: Any) -> None:
        """Deletes the file, unless a release is made of it."""
        delete_artifact(actor_of(request), obj.pk)

    @admin.display(description="size")
    def size(self, artifact: Artifact) -> SafeString:
        """In readable units."""
        return render_to_string("admin/cells/size.html", {"bytes": artifact.size_bytes})

    @admin.display(description="SHA-256")
    def sum(self, artifact: Artifact) -> SafeString:
        """Shortened."""
        return digest(artifact.sha256)

    @admin.display(description="uploaded")
    def created(self, artifact: Artifact) -> SafeString:
        """When it was stored."""
        return when(artifact.created_at)


@admin.register(ArtifactUpload)
class ArtifactUploadAdmin(OrgModelAdmin):
    """Files on their way."""

    view_permission = STORE_ARTIFACT
    list_display = ("name", "size", "received", "created_by", "created", "expires")
    search_fields = ("name",)
    ordering = ("-id",)
    sortable_by = ("name",)

    @admin.display(description="size")
    def size(self, upload: ArtifactUpload) -> SafeString:
        """As announced, in readable units."""
        return render_to_string("admin/cells/size.html", {"bytes": upload.size_bytes})

    @admin.display(description="received")
    def received(self, upload: ArtifactUpload) -> SafeString:
        """In readable units."""
        return render_to_string("admin/cells/size.html", {"bytes": upload.received_bytes})

    @admin.display(description="begun")
    def created(self, upload: ArtifactUpload) -> SafeString:
        """When it began."""
        return when(upload.created_at)

    @admin.display(description="expires")
    def expires(self, upload: ArtifactUpload) -> SafeString:
        """When it is forgotten."""
        return when(upload.expires_at)

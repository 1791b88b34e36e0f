"""Uploads in parts over HTTP: the parts themselves, and how far they are."""

from http import HTTPStatus
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema

from apps.core.errors import invalid
from apps.core.public import id_of
from apps.core.rest.bodies import Refused
from apps.core.rest.problems import Problem
from apps.core.rest.views import handler
from apps.updates.permissions import STORE_ARTIFACT
from apps.updates.selectors.artifacts import get_artifact_upload
from apps.updates.services.uploads import append_to_artifact_upload

PART_TYPES = ("application/offset+octet-stream", "application/octet-stream")
WRONG_TYPE = Problem(415, "unsupported_media_type", f"A part is sent as {PART_TYPES[0]}.")


@extend_schema(
    operation_id="append_to_artifact_upload",
    summary="Append to artifact upload",
    description="Sends the next part, at most 16 MiB of it. `Upload-Offset` says how many bytes "
    "the sender believes to be stored; where that is wrong the answer is 409, and HEAD tells the "
    "right number.",
    parameters=[
        OpenApiParameter(
            "Upload-Offset",
            {"type": "integer", "minimum": 0},
            OpenApiParameter.HEADER,
            required=True,
        )
    ],
    request={PART_TYPES[0]: {"type": "string", "format": "binary"}},
    responses={204: None},
    extensions={"x-permission": STORE_ARTIFACT.name},
)
@handler(STORE_ARTIFACT)
def append_to_upload(self: object, request: Any, id: str) -> HttpResponse:
    """Adds the body behind what is stored."""
    if request.content_type not in PART_TYPES:
        raise Refused(WRONG_TYPE)
    offset = request.headers.get("Upload-Offset", "")
    if not (offset.isascii() and offset.isdigit() and len(offset) < 19):
        message = "Upload-Offset says how many bytes are stored."
        raise invalid("Upload-Offset", "invalid_offset", message)
    upload = append_to_artifact_upload(request.actor, id_of(id), offset=int(offset), part=request)
    return _told(upload)


@extend_schema(exclude=True)
@handler(STORE_ARTIFACT)
def tell_upload(self: object, request: Any, id: str) -> HttpResponse:
    """How far an upload is, in headers alone."""
    return _told(get_artifact_upload(request.actor, id_of(id)))


def _told(upload: Any) -> HttpResponse:
    headers = {
        "Upload-Offset": str(upload.received_bytes),
        "Upload-Length": str(upload.size_bytes),
        "Cache-Control": "no-store",
    }
    return HttpResponse(status=HTTPStatus.NO_CONTENT, headers=headers)

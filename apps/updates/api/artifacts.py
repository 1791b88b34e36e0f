"""Artifacts over HTTP: the bytes themselves, up and down."""

import base64
import binascii
import re
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse, HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema

from apps.core.errors import invalid
from apps.core.public import id_of
from apps.core.rest.messages import render
from apps.core.rest.schema import reference
from apps.core.rest.views import handler, json_response
from apps.updates.api.sending import BYTES, SENT, send_artifact
from apps.updates.messages import artifact_message
from apps.updates.permissions import STORE_ARTIFACT, VIEW_ARTIFACTS
from apps.updates.selectors.artifacts import get_artifact
from apps.updates.services.artifacts import store_artifact
from fleetd.pb.public.v1 import fleet_pb2 as pb

_DIGEST = re.compile(r"(?:^|,)\s*sha-256\s*=\s*:?([A-Za-z0-9+/=]+):?\s*(?:,|$)", re.IGNORECASE)
_FORM = "multipart/form-data"
_FORM_FIELDS = ("file", "name", "sha256")
_UNTOLD = ("application/x-www-form-urlencoded", "")  # what curl says when nobody says anything


@extend_schema(
    operation_id="upload_artifact",
    summary="Upload artifact",
    description="Stores a file. The body is the file itself, or a form with the fields `file`, "
    "`name` and `sha256`. Content that is stored already is answered with the artifact that holds "
    "it.",
    parameters=[
        OpenApiParameter("name", {"type": "string", "minLength": 1, "maxLength": 200}),
        OpenApiParameter("sha256", {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}),
    ],
    request={
        "application/octet-stream": BYTES,
        _FORM: {
            "type": "object",
            "required": ["file"],
            "additionalProperties": False,
            "properties": {
                "file": BYTES,
                "name": {"type": "string"},
                "sha256": {"type": "string"},
            },
        },
    },
    responses={201: reference(pb.Artifact.DESCRIPTOR)},
    extensions={"x-permission": STORE_ARTIFACT.name},
)
@handler(STORE_ARTIFACT)
def upload_artifact(self: object, request: Any) -> HttpResponse:
    """Stores a file, hashed while it is copied, in constant memory."""
    is_form = request.content_type == _FORM
    file = _form_file(request) if is_form else request
    sent_type = file.content_type or ""
    form = request.POST if is_form else {}
    artifact = store_artifact(
        request.actor,
        name=form.get("name") or request.GET.get("name") or (file.name if is_form else ""),
        file=file,
        content_type="" if sent_type in _UNTOLD else sent_type,
        expected_sha256=form.get("sha256") or request.GET.get("sha256") or _digest(request),
    )
    response = json_response(render(artifact_message(artifact)), HTTPStatus.CREATED)
    response["Location"] = f"{request.path.rstrip('/')}/{artifact.id}"
    return response


@extend_schema(
    operation_id="download_artifact",
    summary="Download artifact",
    description="The bytes of an artifact, whole or one range of them.",
    parameters=[OpenApiParameter("Range", str, OpenApiParameter.HEADER)],
    responses=SENT,
    extensions={"x-permission": VIEW_ARTIFACTS.name},
)
@handler(VIEW_ARTIFACTS)
def download_artifact(self: object, request: Any, id: str) -> HttpResponseBase:
    """Sends the file, whole or one range of it."""
    artifact = get_artifact(request.actor, id_of(id))
    return send_artifact(request, artifact)


def _form_file(request: Any) -> Any:
    for name in (*request.POST, *request.FILES):
        if name not in _FORM_FIELDS:
            raise invalid(name[:100], "unknown_field", f"There is no field {name[:100]!r}.")
    file = request.FILES.get("file")
    if file is None:
        raise invalid("file", "missing_file", "The form has no file in the field `file`.")
    return file


def _digest(request: Any) -> str:
    """The SHA-256 in `Content-Digest` (RFC 9530) or `Digest` (RFC 3230) as hexadecimal digits."""
    header = request.headers.get("Content-Digest") or request.headers.get("Digest") or ""
    match = _DIGEST.search(header)
    if match is None:
        return ""
    try:
        return base64.b64decode(match[1], validate=True).hex()
    except (binascii.Error, ValueError):
        raise invalid("digest", "invalid_digest", "The digest is not base64.") from None

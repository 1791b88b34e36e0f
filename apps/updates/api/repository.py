"""The TUF repository over HTTP: metadata for everybody, target files for whom they are meant.

`/tuf/<organization>/metadata/…` is public, as TUF wants it; an organization that is not there
answers like one that publishes nothing. `/tuf/<organization>/targets/<token>/…` needs a link that
was made for a deployment. Members have the same files below `/api/v1/signing/`.
"""

import asyncio
import hashlib
import re
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path
from drf_spectacular.utils import extend_schema

from apps.core.errors import FleetdError, NotFound
from apps.core.rest.problems import Problem, problem_of, problem_response
from apps.core.rest.views import handler
from apps.core.rpc import DATABASE_AWAY, orm
from apps.updates.api.sending import SENT, is_same_content, send_artifact
from apps.updates.permissions import VIEW_ARTIFACTS, VIEW_SIGNING
from apps.updates.selectors.artifacts import get_artifact_by_digest
from apps.updates.selectors.signing import find_metadata, get_metadata
from apps.updates.services.target_links import open_target, read_target_link

_VERSIONED = re.compile(r"([1-9][0-9]{0,8})\.(root|targets|snapshot)\.json", re.ASCII)
_NEWEST = re.compile(r"(root|targets|snapshot|timestamp)\.json", re.ASCII)


async def metadata(request: HttpRequest, organization_id: UUID, name: str) -> HttpResponseBase:
    """One file of metadata, for any TUF client."""
    if request.method not in ("GET", "HEAD"):
        return _not_allowed(request)
    try:
        role, version = _asked(name)
        text = await orm(organization_id, find_metadata, organization_id, role, version)
        if text is None:
            raise NotFound
        return _metadata_response(request, text, is_final=version is not None)
    except FleetdError as error:
        return problem_response(request, problem_of(error))
    except DATABASE_AWAY:
        return _away(request)


async def target(
    request: HttpRequest, organization_id: UUID, token: str, name: str
) -> HttpResponseBase:
    """One target file of a deployment that is being worked on, named `<sha256>.<name>`.

    403 for links that are forged or expired, 404 once the deployment is over; never a hint whether
    such a file exists.
    """
    if request.method not in ("GET", "HEAD"):
        return _not_allowed(request)
    try:
        link = read_target_link(None, organization_id, token, name)
        artifact = await orm(organization_id, open_target, None, link)
        return await asyncio.to_thread(send_artifact, request, artifact)
    except FleetdError as error:
        return problem_response(request, problem_of(error))
    except DATABASE_AWAY:
        return _away(request)


@extend_schema(
    operation_id="download_signing_metadata",
    summary="Download signing metadata",
    description="One file of the TUF repository's metadata: `root.json`, `3.root.json`, "
    "`timestamp.json`, `7.snapshot.json`, `2.targets.json`.",
    responses={(200, "application/json"): {"type": "object"}, 304: None},
    extensions={"x-permission": VIEW_SIGNING.name},
)
@handler(VIEW_SIGNING)
def download_metadata(self: object, request: Any, name: str) -> HttpResponseBase:
    """The same metadata for members."""
    role, version = _asked(name)
    text = get_metadata(request.actor, role, version)
    return _metadata_response(request, text, is_final=version is not None)


@extend_schema(
    operation_id="download_signing_target",
    summary="Download signing target",
    description="A target file under the name that TUF clients ask for: the path in targets "
    "metadata, the file's own name after its SHA-256 and a dot.",
    responses=SENT,
    extensions={"x-permission": VIEW_ARTIFACTS.name},
)
@handler(VIEW_ARTIFACTS)
def download_target(self: object, request: Any, name: str) -> HttpResponseBase:
    """The same files for members."""
    sha256 = name.rsplit("/", 1)[-1].partition(".")[0]
    artifact = get_artifact_by_digest(request.actor, sha256)
    return send_artifact(request, artifact)


def _asked(name: str) -> tuple[str, int | None]:
    """Role and version that a file name stands for; there are no other names."""
    if found := _VERSIONED.fullmatch(name):
        return found[2], int(found[1])
    if found := _NEWEST.fullmatch(name):
        return found[1], None
    raise NotFound


def _metadata_response(request: HttpRequest, text: str, *, is_final: bool) -> HttpResponse:
    """JSON as it was signed, byte for byte; a version never changes."""
    raw = text.encode()
    caching = "public, max-age=86400, immutable" if is_final else "public, no-cache"
    headers = {"Cache-Control": caching, "X-Content-Type-Options": "nosniff"}
    if not is_final and is_same_content(request.headers.get("If-None-Match", ""), _etag(text)):
        return HttpResponse(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return HttpResponse(raw, "application/json", headers={**headers, "ETag": _etag(text)})


def _etag(text: str) -> str:
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _not_allowed(request: HttpRequest) -> HttpResponse:
    problem = Problem(405, "method_not_allowed", "Only GET and HEAD are answered here.")
    refused = problem_response(request, problem)
    refused["Allow"] = "GET, HEAD"
    return refused


def _away(request: HttpRequest) -> HttpResponse:
    headers = {"Retry-After": "2"}
    problem = Problem(503, "unavailable", "Not available just now. Try again.", headers=headers)
    return problem_response(request, problem)


urlpatterns = [
    path("tuf/<uuid:organization_id>/metadata/<str:name>", metadata, name="tuf-metadata"),
    path("tuf/<uuid:organization_id>/targets/<str:token>/<path:name>", target, name="tuf-target"),
]

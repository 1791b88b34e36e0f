"""Where devices download artifacts. The signed link is the credential; there is no other."""

import asyncio
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path

from apps.core.errors import FleetdError
from apps.core.ids import parse_uuid
from apps.core.rest.problems import Problem, problem_of, problem_response
from apps.core.rpc import DATABASE_AWAY, orm
from apps.updates.api.sending import send_artifact
from apps.updates.errors import LinkInvalid
from apps.updates.services.links import Link, check_link, open_link


async def download_for_device(
    request: HttpRequest, deployment_id: UUID, sha256: str
) -> HttpResponseBase:
    """Sends what a deployment needs, as long as it is being worked on.

    403 for links that are forged or expired, 404 once the deployment is over; never a hint whether
    such a file exists.
    """
    if request.method not in ("GET", "HEAD"):
        problem = Problem(405, "method_not_allowed", "Only GET and HEAD are answered here.")
        refused = problem_response(request, problem)
        refused["Allow"] = "GET, HEAD"
        return refused
    try:
        link = _link(request, deployment_id, sha256)
        check_link(None, link)
        artifact = await orm(link.organization_id, open_link, None, link)
        return await asyncio.to_thread(send_artifact, request, artifact)
    except FleetdError as error:
        return problem_response(request, problem_of(error))
    except DATABASE_AWAY:
        return _away(request)


def _link(request: HttpRequest, deployment_id: UUID, sha256: str) -> Link:
    organization_id = parse_uuid(request.GET.get("organization", ""))
    expires = request.GET.get("expires", "")
    if organization_id is None or not (expires.isascii() and expires.isdigit()):
        raise LinkInvalid
    if len(expires) > 12:
        raise LinkInvalid
    signature = request.GET.get("signature", "")
    return Link(organization_id, deployment_id, sha256, int(expires), signature)


def _away(request: HttpRequest) -> HttpResponse:
    headers = {"Retry-After": "2"}
    problem = Problem(503, "unavailable", "Not available just now. Try again.", headers=headers)
    return problem_response(request, problem)


urlpatterns = [
    path(
        "agent/v1/artifacts/<uuid:deployment_id>/<str:sha256>",
        download_for_device,
        name="device-artifact",
    ),
]

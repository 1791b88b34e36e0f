"""Manifests over REST: a text in a JSON body, or the text itself."""

from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpResponse

from apps.core.errors import InvalidRequest, invalid
from apps.core.rest.bodies import Refused
from apps.core.rest.messages import read, render_answer
from apps.core.rest.problems import Problem
from apps.core.rest.views import creates, json_response
from apps.core.tenancy import tenant
from apps.updates.public_manifests import create_rollout_from_manifest
from fleetd.pb.public.v1 import fleet_pb2 as pb

YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")
ADDRESS = "rollouts:manifest"
_with_json = creates(create_rollout_from_manifest)


@wraps(_with_json)
def plan_from_manifest(self: Any, request: Any, **bound: str) -> HttpResponse:
    """Takes both kinds of bodies; YAML's `validate_only` stands in the address."""
    plain = request._request
    if (plain.content_type or "").lower() not in YAML_TYPES:
        response: HttpResponse = _with_json(self, request, **bound)
        if "Location" in response:
            response["Location"] = response["Location"].replace(f"{ADDRESS}/", "rollouts/")
        return response
    message = _read_yaml(plain)
    with tenant(plain.actor.organization_id):
        result = create_rollout_from_manifest(plain.actor, message)
    data = render_answer(result)
    if message.validate_only:
        return json_response(data)
    created = json_response(data, 201)
    created["Location"] = f"{plain.path.rstrip('/').removesuffix(ADDRESS)}rollouts/{data['id']}"
    return created


def _read_yaml(request: Any) -> pb.CreateRolloutFromManifestRequest:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body = request.read(limit + 1)
    if len(body) > limit:
        raise Refused(Problem(413, "body_too_large", f"A body has at most {limit} bytes."))
    query = request.GET
    unknown = sorted(set(query) - {"validate_only"})
    if unknown:
        raise invalid(unknown[0][:100], "unknown_parameter", "There is no such parameter.")
    if query.get("validate_only", "false") not in ("true", "false"):
        raise invalid("validate_only", "invalid_value", "This is true or false.")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8.") from None
    said = {"manifest": text, "validate_only": query.get("validate_only") == "true"}
    return read(pb.CreateRolloutFromManifestRequest, said)

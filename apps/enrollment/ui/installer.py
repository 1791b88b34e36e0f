"""The installer of the agent and the agent itself, for machines that have no credential yet.

Both are the same for everybody and hold no secret: the token comes from the person's command line.
"""

from functools import cache
from pathlib import Path
from typing import cast

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from fleetd_agent import package

from apps.core.ids import parse_uuid
from apps.core.web import OrgRequest
from apps.enrollment.services.tokens import note_installer_fetch


@require_safe
def install_script(request: HttpRequest) -> HttpResponse:
    """`/install.sh`: the shell script that installs the agent and enrolls the machine.

    With `token_id` the fetch is noted on that token, so that whoever waits for the device sees
    that the command ran. An unknown id changes nothing and answers the same.
    """
    _, digest = _agent()
    is_dry_run = request.GET.get("dry-run", "") not in ("", "0")
    text = package.install_script(settings.EXTERNAL_URL, digest, is_dry_run=is_dry_run)
    token_id = parse_uuid(request.GET.get("token_id", ""))
    if token_id is not None and request.method == "GET":
        note_installer_fetch(None, token_id, address=cast(OrgRequest, request).client_address)
    response = HttpResponse(text, content_type="text/x-shellscript; charset=utf-8")
    response["Cache-Control"] = "no-store"
    return response


@require_safe
def agent_package(request: HttpRequest, name: str) -> HttpResponse:
    """`/install/<file>`: the agent as a wheel, the one that the installer names."""
    path, digest = _agent()
    if name != path.name:
        raise Http404
    # A few hundred kilobytes: a FileResponse would be read whole under ASGI, with a warning.
    response = HttpResponse(path.read_bytes(), content_type="application/zip")
    response["ETag"] = f'"{digest}"'
    response["Cache-Control"] = "no-cache"
    return response


@cache
def _agent() -> tuple[Path, str]:
    """The agent's wheel and its SHA-256, built once per process; every process builds the same."""
    folder = Path(settings.DATA_DIR) / "agent"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / package.NAME
    return path, package.build(path)

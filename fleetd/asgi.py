"""The web process: `uvicorn fleetd.asgi:application`."""

import os
from typing import Any

from channels.routing import ProtocolTypeRouter
from django.conf import settings
from django.core.asgi import get_asgi_application

from fleetd.settings.startup import refuse_without_secrets

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetd.settings.base")
refuse_without_secrets(settings)

django_application = get_asgi_application()  # before anything that imports models

from apps.web.bodies import with_body_limit, with_head_limits  # noqa: E402
from apps.web.cors import with_cors  # noqa: E402
from apps.web.realtime.routing import live  # noqa: E402
from apps.web.security_headers import with_security_headers  # noqa: E402
from fleetd.rpc.web import is_public, with_rpc  # noqa: E402


def _is_for_other_sites(path: str) -> bool:
    """REST, and the public services: what programs call with a token."""
    return path.startswith("/api/v1/") or is_public(path)


def web_port(inner: Any) -> Any:
    """Everything of HTTP, from the outside to the inside; `inner` is Django."""
    doors = with_rpc(with_body_limit(inner))
    return with_security_headers(with_head_limits(with_cors(doors, _is_for_other_sites)))


application = ProtocolTypeRouter({"http": web_port(django_application), "websocket": live})

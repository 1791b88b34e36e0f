"""The web process: `uvicorn fleetd.asgi:application`."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetd.settings.base")

django_application = get_asgi_application()  # before anything that imports models

from apps.web.bodies import with_body_limit  # noqa: E402
from apps.web.realtime.routing import live  # noqa: E402
from fleetd.rpc.web import with_rpc  # noqa: E402

application = ProtocolTypeRouter(
    {"http": with_rpc(with_body_limit(django_application)), "websocket": live}
)

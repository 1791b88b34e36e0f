"""Where the WebSocket is."""

from typing import Any

from apps.web.realtime.consumer import LiveConsumer
from apps.web.request_log import log_unread

PATH = "/ws/v1"
NOWHERE = 4404
_consumer = LiveConsumer.as_asgi()


async def live(scope: Any, receive: Any, send: Any) -> None:
    """Answers `/ws/v1` and refuses sockets anywhere else."""
    if scope["path"].rstrip("/") == PATH:
        await _consumer(scope, receive, send)
    else:
        log_unread(scope, NOWHERE, "not_found")
        await send({"type": "websocket.close", "code": NOWHERE})

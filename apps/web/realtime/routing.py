"""Where the WebSocket is."""

from typing import Any

from apps.web.realtime.consumer import LiveConsumer

PATH = "/ws/v1"
_consumer = LiveConsumer.as_asgi()


async def live(scope: Any, receive: Any, send: Any) -> None:
    """Answers `/ws/v1` and refuses sockets anywhere else."""
    if scope["path"].rstrip("/") == PATH:
        await _consumer(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": 4404})

"""Headers that every answer of the web port carries, whichever door gave it.

Pages bring their own, wider policy with a nonce; what has none gets the strictest.
"""

from typing import Any

from django.conf import settings

NOTHING = (
    b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    b" object-src 'none'"
)
DEFAULTS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", NOTHING),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"permissions-policy",
        b"accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(),"
        b" magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=(),"
        b" publickey-credentials-create=(self), publickey-credentials-get=(self)",
    ),
)
STRICT_TRANSPORT = b"strict-transport-security"


def with_security_headers(application: Any) -> Any:
    """The ASGI application whose answers have them all."""
    defaults = dict(DEFAULTS)
    if settings.SECURE_HSTS_SECONDS:
        lasts = f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains"
        defaults[STRICT_TRANSPORT] = lasts.encode()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def send_complete(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                given = {name.lower() for name, _ in headers}
                headers += [(n, v) for n, v in defaults.items() if n not in given]
                message = {**message, "headers": headers}
            await send(message)

        await application(scope, receive, send_complete if scope["type"] == "http" else send)

    return answer

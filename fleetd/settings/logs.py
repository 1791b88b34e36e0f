"""Structured logs on standard error: JSON for machines, coloured lines for people."""

from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from apps.audit.domain.redaction import masked_fields, one_line, scrubbed

# Tracebacks without local variables: those hold passwords, keys and whole requests.
JSON_EXCEPTION = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))

# Fields of a line that hold several lines.
TRACES = ("exception", "stack")
PLAIN = (str, int, float, list, tuple, dict, set, frozenset, bytes, type(None))


def without_secrets(_: Any, __: str, fields: Any) -> Any:
    """Masks whatever is a secret by its name or its looks, in every field and in the message.

    Django adds its request object, which shows the query string: the request log says all of it
    that may be said.
    """
    if not isinstance(fields.get("request"), str):
        fields.pop("request", None)
    return masked_fields({name: _plain(value) for name, value in fields.items()})


def _plain(value: Any) -> Any:
    """Objects as the texts that they would be written as, so that those are looked at."""
    return value if isinstance(value, PLAIN) else repr(value)


def on_one_line(_: Any, __: str, fields: Any) -> Any:
    """For people's eyes: no value begins a line of its own or steers the terminal.

    Tracebacks keep their lines, each indented, so that none looks like a line of the log.
    """
    return {n: _indented(v) if n in TRACES else _flat(v) for n, v in fields.items()}


def _flat(value: Any) -> Any:
    return one_line(value) if isinstance(value, str) else value


def _indented(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return "\n".join(f"    {one_line(line)}" for line in scrubbed(value).split("\n"))


SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure_structlog() -> None:
    """Sends structlog through the standard library, so that every line has one format."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def logging_config(level: str, form: str) -> dict[str, Any]:
    """Django's LOGGING for a level and a form (`json` or `console`)."""
    final: list[Any] = (
        [
            structlog.processors.format_exc_info,
            without_secrets,
            on_one_line,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
        if form == "console"
        # JSON escapes control characters, so a value cannot forge a second line.
        else [JSON_EXCEPTION, without_secrets, structlog.processors.JSONRenderer()]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": SHARED,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *final,
                ],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": level, "propagate": True},
            # One line per request is noise here; the access log belongs to the proxy in front.
            "uvicorn.access": {"handlers": [], "level": "WARNING", "propagate": True},
            "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
        },
    }

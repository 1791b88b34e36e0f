"""Logs on standard error: logfmt for machines, short lines for people."""

import logging
import re
import sys
from datetime import UTC, datetime

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
PLAIN = re.compile(r"[\w.:/@+-]+")
SECRET = re.compile(r"fld_[a-z]+_[0-9A-Za-z_]+")


def logfmt_value(value: object) -> str:
    """A value as logfmt wants it: quoted when it has to be; secrets are left out."""
    text = SECRET.sub("fld_…", str(value))
    if PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class Logfmt(logging.Formatter):
    """`time=… level=info msg="…" key=value`."""

    def __init__(self, *, is_for_people: bool) -> None:
        super().__init__()
        self._is_for_people = is_for_people

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback of an unexpected error below it."""
        extra = {k: v for k, v in vars(record).items() if k not in STANDARD}
        pairs = " ".join(f"{key}={logfmt_value(value)}" for key, value in extra.items())
        level = record.levelname.lower()
        moment = datetime.fromtimestamp(record.created, UTC)
        message = record.getMessage()
        if self._is_for_people:
            line = f"{moment:%H:%M:%S} {level:7} {message} {pairs}".rstrip()
        else:
            stamp = moment.isoformat(timespec="milliseconds")
            line = f"time={stamp} level={level} msg={logfmt_value(message)} {pairs}".rstrip()
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def set_up_logs(level: str = "INFO") -> None:
    """Sends all logs to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Logfmt(is_for_people=sys.stderr.isatty()))
    logging.basicConfig(level=level, handlers=[handler], force=True)

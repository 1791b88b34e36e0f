"""The audit list as files: rows in, text out."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apps.audit.domain.cells import json_line, neutral

CSV, NDJSON = "text/csv", "application/x-ndjson"
ENDINGS = {CSV: "csv", NDJSON: "ndjson"}
COLUMNS = (
    "sequence", "time", "action", "result", "actor_kind", "actor_id", "actor_label", "object_type",
    "object_id", "object_label", "source", "address", "request_id", "changes", "hash",
    "previous_hash", "id",
)  # fmt: skip


def file_text(kind: str, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """A file of this kind with these columns of the rows."""
    return _csv(rows, columns) if kind == CSV else _ndjson(rows, columns)


def _csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)
    return file.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return json_line(value) if value else ""
    return neutral(value)


def _ndjson(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    return "".join(json_line({name: row[name] for name in columns}) + "\n" for row in rows)

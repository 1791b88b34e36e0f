"""S58: an export is text for every spreadsheet, and gives the original back.

Given a CSV export with values that start with `= + - @`, tab or carriage return, then cells are
neutralised and re-import gives the original value. The audit trail's is the platform's only CSV:
the first test finds any other.
"""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from apps.audit.domain.cells import json_line, neutral, original
from apps.audit.domain.files import COLUMNS, CSV, NDJSON, file_text
from apps.audit.services.entries import record
from apps.core.actors import Actor
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from tests import factories
from tests.bars.audited import browser
from tests.factories import Cast
from tests.rest.conftest import Api

ROOT = Path(__file__).resolve().parent.parent.parent
FORMULAS = [
    '=HYPERLINK("http://evil.example","x")', "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(1+1)*cmd",
    "\t=1+1", "\r=1+1", "\n=1+1", "'=1+1", "'", "=", "''x",
]  # fmt: skip
RISKY = ("=", "+", "-", "@", "\t", "\r", "\n")


def cells_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_s58_there_is_no_other_csv() -> None:
    writers = re.compile(r"csv\.(?:Dict)?[Ww]riter|text/csv")
    found = {
        str(path.relative_to(ROOT))
        for folder in ("apps", "fleetd")
        for path in (ROOT / folder).rglob("*.py")
        if writers.search(path.read_text()) and "/pb/" not in str(path)
    }
    assert found == {"apps/audit/domain/files.py", "apps/audit/public.py"}


@pytest.mark.parametrize("value", FORMULAS)
def test_s58_a_formula_becomes_text_and_comes_back(value: str) -> None:
    cell = neutral(value)
    assert not cell.startswith(RISKY)
    assert original(cell) == value


@given(st.text())
def test_s58_any_text_survives_a_file(value: str) -> None:
    row = {name: value for name in COLUMNS} | {"changes": {value: [value, None]}}
    (header, cells) = cells_of(file_text(CSV, [row], COLUMNS))
    back = dict(zip(header, cells, strict=True))
    assert not any(cell.startswith(RISKY) for cell in cells)
    assert original(back["object_label"]) == value
    assert json.loads(original(back["changes"])) == {value: [value, None]}
    (line,) = file_text(NDJSON, [row], COLUMNS).split("\n")[:-1]
    assert json.loads(line) == row


@given(st.dictionaries(st.text(), st.text()))
def test_s58_json_in_files_is_one_printable_line(data: dict[str, str]) -> None:
    line = json_line(data)
    assert line.isprintable()
    assert json.loads(line) == data


@pytest.fixture
def hostile(acme: Cast, alice: Actor) -> list[str]:
    """Devices and changes that are formulas, in the trail of acme."""
    names = [name for name in FORMULAS if name.isprintable()]
    for name in names:
        device = factories.device(acme.id, name)
        with tenant(acme.id):
            record(alice, "devices.update_device", device, changes={"name": ["old", name]})
    return names


@pytest.mark.django_db
def test_s58_the_export_over_rest_holds_no_formula(
    hostile: list[str], alice_member: Membership
) -> None:
    api = Api(factories.api_key(alice_member), Accept=CSV)
    answer = api.get("audit-entries", action="devices.update_device")
    check(answer, hostile)


@pytest.mark.django_db
def test_s58_the_export_of_the_page_holds_no_formula(
    hostile: list[str], alice_member: Membership
) -> None:
    client: Client = browser(alice_member)
    answer = client.get("/audit/export/csv?action=devices.update_device")
    check(answer, hostile)


def check(answer: Any, names: list[str]) -> None:
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert answer["Content-Disposition"].startswith("attachment")
    rows = cells_of(answer.content.decode())
    assert not any(cell.startswith(RISKY) for row in rows for cell in row)
    label, changes = rows[0].index("object_label"), rows[0].index("changes")
    assert [original(row[label]) for row in rows[1:]] == names[::-1]
    assert [json.loads(row[changes])["name"][1] for row in rows[1:]] == names[::-1]

"""The first visit: a one-time code makes the first account."""

import pytest
from django.test import Client

from apps.organizations.services.setup import issue_setup_code

FORM = {
    "email": "ann@example.com",
    "password": "correct horse battery staple",
    "organization": "Northwind",
}


@pytest.fixture
def code(db: None) -> str:
    issued = issue_setup_code()
    assert issued
    return issued


def test_every_page_leads_to_the_setup_until_it_is_done(code: str) -> None:
    assert Client().get("/devices")["Location"] == "/setup"
    assert "One-time code" in Client().get("/setup").content.decode()


def test_the_code_makes_the_account_and_signs_it_in(code: str) -> None:
    browser = Client()
    answer = browser.post("/setup", {**FORM, "code": code}, follow=True)
    assert "Northwind" in answer.content.decode()
    assert browser.get("/setup")["Location"] == "/"


def test_a_wrong_code_makes_nothing(code: str) -> None:
    answer = Client().post("/setup", {**FORM, "code": "0" * 16})
    assert answer.status_code == 400
    assert "not the setup code" in answer.content.decode()
    assert "ann@example.com" in answer.content.decode()
    assert Client().get("/")["Location"] == "/setup"


def test_a_weak_password_is_said_at_its_field(code: str) -> None:
    answer = Client().post("/setup", {**FORM, "code": code, "password": "password1234"})
    assert answer.status_code == 400
    assert "too common" in answer.content.decode()


def test_a_second_setup_is_refused(code: str) -> None:
    Client().post("/setup", {**FORM, "code": code})
    answer = Client().post("/setup", {**FORM, "code": code, "email": "eve@example.com"})
    assert "set up already" in answer.content.decode()

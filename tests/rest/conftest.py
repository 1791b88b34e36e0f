"""Clients of the REST door."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.organizations.models import Membership
from tests import factories


class Api:
    """Sends JSON with an API key and answers Django's responses."""

    def __init__(self, secret: str = "", **headers: str) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {**({"Authorization": f"Bearer {secret}"} if secret else {}), **headers}

    def get(self, path: str, **query: Any) -> Any:
        """A GET below /api/v1."""
        return self.client.get(f"/api/v1/{path}", query, headers=self.headers)

    def post(self, path: str, **body: Any) -> Any:
        """A POST of these fields."""
        return self.send("POST", path, body)

    def patch(self, path: str, **body: Any) -> Any:
        """A PATCH with these fields."""
        return self.send("PATCH", path, body)

    def delete(self, path: str) -> Any:
        """A DELETE."""
        return self.client.delete(f"/api/v1/{path}", headers=self.headers)

    def send(self, method: str, path: str, body: Any, **headers: str) -> Any:
        """Any method with a JSON body."""
        return self.client.generic(
            method,
            f"/api/v1/{path}",
            body if isinstance(body, bytes) else json.dumps(body),
            content_type="application/json",
            headers={**self.headers, **headers},
        )


@pytest.fixture
def api_of() -> Callable[..., Api]:
    """A client that acts as a member."""

    def make(member: Membership, **fields: Any) -> Api:
        return Api(factories.api_key(member, **fields))

    return make


@pytest.fixture
def api(alice_member: Membership, api_of: Callable[..., Api]) -> Api:
    """A client that acts as alice, owner of acme."""
    return api_of(alice_member)

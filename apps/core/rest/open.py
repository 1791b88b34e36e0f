"""REST addresses that answer before anybody is known: signing in and its kin."""

from http import HTTPStatus
from typing import Any

from django.http import HttpResponse
from django.urls import URLPattern, path
from rest_framework.request import Request

from apps.core.actors import Call, Source
from apps.core.public import OpenOperation
from apps.core.rest.bodies import read_json_object
from apps.core.rest.messages import read, render_answer
from apps.core.rest.schema import described
from apps.core.rest.views import OrgAPIView, json_response, refuse_query


class OpenAPIView(OrgAPIView):
    """Takes no credential: one that is sent is not looked at."""

    def perform_authentication(self, request: Request) -> None:
        """There is nobody yet."""


def opens(operation: OpenOperation[Any, Any]) -> Any:
    """A POST that answers with an open operation. Its answers hold secrets and are not kept."""

    def answer(self: OpenAPIView, request: Request) -> HttpResponse:
        plain: Any = request._request
        refuse_query(plain)
        message = read(operation.request_class, read_json_object(plain))
        call = Call(Source.REST, plain.client_address, plain.request_id)
        response = json_response(render_answer(operation(call, message)))
        response["Cache-Control"] = "no-store"
        return response

    answer.__name__ = operation.name
    answer.__doc__ = operation.function.__doc__
    answer.operation = operation  # type: ignore[attr-defined]
    answer.permission = operation.permission  # type: ignore[attr-defined]
    return described(answer, operation, status=HTTPStatus.OK, query=False)


def open_resource(name: str, address: str, *, post: Any) -> list[URLPattern]:
    """The routes of one open address, with and without a slash at its end."""
    title = name.title().replace("-", "")
    view = type(f"{title}View", (OpenAPIView,), {"post": post}).as_view()  # type: ignore[attr-defined]
    return [path(address, view, name=f"api-{name}"), path(f"{address}/", view)]

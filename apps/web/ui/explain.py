"""Who may do what to something, and why: two pickers and the answer."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from apps.core.actors import Actor
from apps.core.authz import declared, needs
from apps.core.errors import NotFound
from apps.core.ids import parse_uuid
from apps.core.web import OrgRequest, OrgView
from apps.organizations.permissions import VIEW_ORGANIZATION
from apps.organizations.selectors import find_membership
from apps.teams.permissions import EXPLAIN_ACCESS
from apps.web.access import (
    AccessExplanation,
    explain_access,
    list_askable_objects,
    list_askable_people,
    name_of_object,
)
from apps.web.ui.roles import areas_of

SECTION = "access"
SHOWN = 12
KINDS: dict[str, str | Promise] = {
    "device": gettext_lazy("Device"),
    "device_group": gettext_lazy("Group"),
    "team": gettext_lazy("Team"),
    "rollout": gettext_lazy("Rollout"),
    "organization": gettext_lazy("Organization"),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to choose, and the address that chooses it."""

    name: str
    detail: str
    url: str


class ExplainAccess(OrgView):
    """What may Ana do to this device, and why?"""

    @needs(VIEW_ORGANIZATION)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page: what was chosen so far, what can be chosen, and the answer."""
        actor = request.actor
        asked = _asked(request)
        context: dict[str, Any] = {
            "actor": actor,
            "settings_section": SECTION,
            "kind": asked["kind"],
            "kinds": [
                {"key": key, "word": word, "url": _url(user=asked["user"], kind=key)}
                for key, word in KINDS.items()
            ],
            "may_choose": actor.has_perm(EXPLAIN_ACCESS.name),
            "search_url": reverse("settings-access-choices"),
            "asked": asked,
        }
        context["person"] = _person(actor, asked["user"])
        context["answer"] = _answer(actor, asked) if context["person"] else None
        if context["person"] is None:
            context["people"] = _people(actor, asked, "")
            context["object_name"] = _object_name(actor, asked)
        elif context["answer"] is None:
            context["objects"] = _objects(actor, asked, "")
        return render(request, "settings/access.html", {**context, **_shown(context["answer"])})


class Choices(OrgView):
    """What a picker offers, as its search narrows it."""

    @needs(VIEW_ORGANIZATION)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The choices alone: people, or objects of the kind."""
        asked, search = _asked(request), request.GET.get("q", "").strip()
        what = _people if request.GET.get("of") == "people" else _objects
        context = {"choices": what(request.actor, asked, search), "search": search}
        return render(request, "settings/access_choices.html", context)


def _asked(request: OrgRequest) -> dict[str, str]:
    """What the address says; the person is the caller unless it names another."""
    kind = request.GET.get("kind", "device")
    own = str(request.actor.user_id or "")
    may_choose = request.actor.has_perm(EXPLAIN_ACCESS.name)
    user = request.GET.get("user", "") if may_choose else own
    return {
        "user": str(parse_uuid(user) or ""),
        "kind": kind if kind in KINDS else "device",
        "object": str(parse_uuid(request.GET.get("object", "")) or ""),
    }


def _person(actor: Actor, user_id: str) -> Any:
    if not user_id:
        return None
    found = find_membership(actor.organization_id, UUID(user_id))
    if found is None:
        raise NotFound("There is no such member.")
    return found


def _answer(actor: Actor, asked: dict[str, str]) -> AccessExplanation | None:
    object_id = asked["object"]
    if asked["kind"] == "organization":
        object_id = str(actor.organization_id)
    if not object_id:
        return None
    return explain_access(
        actor, user_id=UUID(asked["user"]), kind=asked["kind"], object_id=UUID(object_id)
    )


def _object_name(actor: Actor, asked: dict[str, str]) -> str:
    """What is asked about, for whoever comes from its page and has chosen nobody yet."""
    if not asked["object"] or asked["kind"] == "organization":
        return ""
    return name_of_object(actor, asked["kind"], UUID(asked["object"]))


def _shown(answer: AccessExplanation | None) -> dict[str, Any]:
    """The answer by parts of the platform, and how much of it is a yes."""
    if answer is None:
        return {}
    items = {item.permission: item for item in answer.items}
    areas = [
        {"word": area.word, "rows": [{"permission": p, "item": items[p.name]} for p in each]}
        for area in areas_of(declared()[name] for name in items)
        if (each := area.permissions)
    ]
    allowed = sum(item.allowed for item in answer.items)
    return {"areas": areas, "allowed": allowed, "total": len(items)}


def _people(actor: Actor, asked: dict[str, str], search: str) -> list[Choice]:
    found = list_askable_people(actor, search=search, limit=SHOWN)
    return [Choice(p.name, p.detail, _url(**{**asked, "user": str(p.id)})) for p in found]


def _objects(actor: Actor, asked: dict[str, str], search: str) -> list[Choice]:
    found = list_askable_objects(actor, asked["kind"], search=search, limit=SHOWN)
    return [Choice(o.name, o.detail, _url(**{**asked, "object": str(o.id)})) for o in found]


def _url(*, user: str, kind: str, object: str = "") -> str:
    chosen = {"user": user, "kind": kind, "object": object}
    query = urlencode({key: value for key, value in chosen.items() if value})
    return f"{reverse('settings-access')}?{query}"

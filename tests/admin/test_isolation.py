"""Nothing of globex appears in acme's admin, and nothing of it changes (experience.md, table 2.2).

Every test runs over all registered admins, with one row of every table in both organizations.
"""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from django.contrib.admin.filters import RelatedFieldListFilter
from django.db.models import Model
from django.forms import ModelChoiceField
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.urls import reverse

from apps.core.actors import Actor
from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.core.tenancy import OrgOwnedModel, tenant
from apps.organizations.models import Membership
from apps.web.admin_site import FleetdAdminSite
from tests.admin.conftest import GLOBEX_MARK
from tests.admin.rows import Rows, snapshot
from tests.factories import Cast

pytestmark = pytest.mark.django_db

Admins = list[tuple[type[Model], OrgModelAdmin]]


def _address(model: type[Model], view: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}", args=args)


def _foreign_words(globex: Cast, charlie: Membership) -> tuple[str, ...]:
    return (GLOBEX_MARK, globex.organization.name, charlie.user.email, str(globex.id))


@pytest.fixture
def admins(site: FleetdAdminSite) -> Admins:
    """All pages of the admin that hold tenants' data or people."""
    found = [(m, a) for m, a in site._registry.items() if not a.superusers_only]
    assert len(found) >= 15
    return found


@pytest.fixture
def is_clean(globex: Cast, charlie_member: Membership) -> Callable[[Any], list[str]]:
    """Which words of globex an answer contains: none should."""
    words = _foreign_words(globex, charlie_member)

    def found(response: Any) -> list[str]:
        text = response.content.decode().lower()
        return [word for word in words if word.lower() in text]

    return found


@pytest.fixture
def asked_by_alice(alice: Actor, alice_member: Membership) -> HttpRequest:
    """A request of alice's, as the pages of the admin get it."""
    request = RequestFactory().get("/admin/")
    request.actor, request.user = alice, alice_member.user
    return request


@pytest.fixture(autouse=True)
def _globex_stays_as_it_is(acme_rows: Rows, globex_rows: Rows, globex: Cast) -> Iterator[None]:
    before = snapshot(globex.id)
    yield
    assert snapshot(globex.id) == before


def test_lists_show_own_rows_only(
    admins: Admins, browser: Client, is_clean: Callable[[Any], list[str]], acme_rows: Rows
) -> None:
    for model, _admin in admins:
        response = browser.get(_address(model, "changelist"))
        assert response.status_code == 200, model
        assert is_clean(response) == [], model
        popup = browser.get(_address(model, "changelist"), {"_popup": "1"})
        assert is_clean(popup) == [], model
        if issubclass(model, OrgOwnedModel):
            assert str(acme_rows.made[model].pk) in response.content.decode(), model


def test_searching_for_a_mark_of_another_organization_finds_nothing(
    admins: Admins, browser: Client, globex_rows: Rows
) -> None:
    for model, model_admin in admins:
        if not model_admin.search_fields or model not in globex_rows.made:
            continue
        for wanted in (GLOBEX_MARK, str(globex_rows.made[model].pk)):
            response = browser.get(_address(model, "changelist"), {"q": wanted})
            assert response.status_code == 200, model
            assert response.context["cl"].result_count == 0, model


@pytest.mark.parametrize("view", ["change", "history", "delete"])
def test_pages_of_foreign_objects_are_not_found(
    view: str, admins: Admins, browser: Client, globex_rows: Rows, globex: Cast
) -> None:
    keys = {m: row.pk for m, row in globex_rows.made.items()}
    for model, _admin in admins:
        key = keys.get(model, globex.id if model._meta.model_name == "organization" else None)
        key = key or globex_rows.user.pk
        address = _address(model, view, key)
        assert browser.get(address).status_code == 404, address
        assert browser.post(address, {"post": "yes"}).status_code == 404, address


def test_pages_of_own_objects_name_nothing_foreign(
    admins: Admins,
    browser: Client,
    acme_rows: Rows,
    is_clean: Callable[[Any], list[str]],
) -> None:
    for model, model_admin in admins:
        if model not in acme_rows.made:
            continue
        views = ["change", "history"] + (["delete"] if model_admin.delete_permission else [])
        for view in views:
            response = browser.get(_address(model, view, acme_rows.made[model].pk))
            assert response.status_code == 200, (model, view)
            assert is_clean(response) == [], (model, view)


def test_forms_offer_own_rows_only(
    admins: Admins, browser: Client, is_clean: Callable[[Any], list[str]]
) -> None:
    asked = [model for model, model_admin in admins if model_admin.add_permission]
    assert asked
    for model in asked:
        response = browser.get(_address(model, "add"))
        assert response.status_code in (200, 403), model  # members are added by superusers only
        assert is_clean(response) == [], model


def test_autocomplete_offers_own_rows_only(
    site: FleetdAdminSite, browser: Client, acme_rows: Rows, is_clean: Callable[[Any], list[str]]
) -> None:
    pages = [*site._registry.values(), *(i for a in site._registry.values() for i in a.inlines)]
    sources = [(page.model, name) for page in pages for name in page.autocomplete_fields]
    sources.append((acme_rows.made_model("Deployment"), "device"))  # of a new rollout's form
    assert len(sources) >= 3
    for model, name in sources:
        opts = {"app_label": model._meta.app_label, "model_name": model._meta.model_name}
        response = browser.get("/admin/autocomplete/", {**opts, "field_name": name, "term": ""})
        assert response.status_code == 200, (model, name)
        assert response.json()["results"], (model, name)
        assert is_clean(response) == [], (model, name)


def test_the_address_is_no_way_to_probe_other_columns(admins: Admins, browser: Client) -> None:
    for model, model_admin in admins:
        paths = ["organization__name", "organization__slug"] if _owned(model) else []
        paths += [f.name for f in model._meta.concrete_fields if f.name == "secret_hash"]
        paths += [
            f"{f.name}__{other.name}"
            for f in model._meta.concrete_fields
            if f.is_relation
            for other in f.related_model._meta.concrete_fields
            if other.name in ("password", "name", "secret_hash", "email")
        ]
        for path in paths:
            for lookup in ("exact", "contains", "regex", "gt", "in"):
                assert not model_admin.lookup_allowed(f"{path}__{lookup}", "a"), (model, path)
            response = browser.get(_address(model, "changelist"), {f"{path}__startswith": "a"})
            assert response.status_code == 400, (model, path)


def test_filters_with_foreign_keys_find_nothing(
    admins: Admins, browser: Client, globex_rows: Rows, is_clean: Callable[[Any], list[str]]
) -> None:
    for model, model_admin in admins:
        fields = {f.name: f for f in model._meta.concrete_fields if f.is_relation}
        names = [n for n in (*model_admin.list_filter, *model_admin.linked_by) if n in fields]
        for name in names:
            row = globex_rows.made.get(fields[name].related_model)
            address = _address(model, "changelist")
            response = browser.get(address, {f"{name}__id__exact": str(row.pk)})
            assert response.context["cl"].result_count == 0, (model, name)
            assert GLOBEX_MARK not in response.content.decode(), (model, name)


def test_a_foreign_group_filters_everything_away(browser: Client, globex: Cast) -> None:
    response = browser.get("/admin/devices/device/", {"group": str(globex.group.id)})
    assert response.context["cl"].result_count == 0


def test_posted_forms_with_foreign_keys_are_refused(
    admins: Admins, browser: Client, globex_rows: Rows, asked_by_alice: HttpRequest, acme: Cast
) -> None:
    before = snapshot(acme.id)
    tried = 0
    for model, model_admin in admins:
        with tenant(acme.id):
            if not model_admin.has_add_permission(asked_by_alice):
                continue
            form = model_admin.get_form(asked_by_alice)()
        for name, field in form.fields.items():
            if not isinstance(field, ModelChoiceField):
                continue
            tried += 1
            key = str(globex_rows.made[field.queryset.model].pk)
            response = browser.post(_address(model, "add"), {**_filled(model), name: key})
            assert response.status_code == 200, (model, name)
            assert name in response.context["adminform"].form.errors, (model, name)
    assert tried >= 3
    assert snapshot(acme.id) == before


def test_a_component_cannot_take_a_foreign_artifact(
    browser: Client, globex_rows: Rows, acme: Cast
) -> None:
    before = snapshot(acme.id)
    artifact = globex_rows.made_row("Artifact")
    values = {
        "name": "app",
        "version": "1.0",
        "components-TOTAL_FORMS": "1",
        "components-INITIAL_FORMS": "0",
        "components-0-name": "app",
        "components-0-kind": "script",
        "components-0-artifact": str(artifact.pk),
        "components-0-hooks": "{}",
    }
    response = browser.post("/admin/updates/release/add/", values)
    assert response.status_code == 200
    formset = response.context["inline_admin_formsets"][0].formset
    assert "artifact" in formset.errors[0]
    assert GLOBEX_MARK not in response.content.decode()
    assert snapshot(acme.id) == before


def test_actions_do_not_reach_foreign_objects(
    admins: Admins, browser: Client, globex_rows: Rows, acme: Cast
) -> None:
    before = snapshot(acme.id)
    tried = 0
    for model, model_admin in admins:
        if model not in globex_rows.made:
            continue
        for operation in model_admin.operations:
            tried += 1
            values = {
                "action": operation.name,
                "_selected_action": str(globex_rows.made[model].pk),
                "confirmed": "1",
                "word": operation.word,
                "reason": "because",
                "add_tags": "mine",
            }
            response = browser.post(_address(model, "changelist"), values)
            assert GLOBEX_MARK not in response.content.decode(), operation.name
    assert tried >= 12
    assert snapshot(acme.id) == before


def test_no_device_enters_a_foreign_group(browser: Client, acme: Cast, globex: Cast) -> None:
    values = {
        "action": "add_devices_to_group",
        "_selected_action": str(acme.device.id),
        "confirmed": "1",
        "group": str(globex.group.id),
    }
    response = browser.post("/admin/devices/device/", values)
    assert response.status_code == 200
    assert "group" in response.context["form"].errors


def test_the_live_state_answers_for_own_devices_only(
    browser: Client, acme: Cast, globex: Cast
) -> None:
    ids = ",".join(str(d.id) for d in (*acme.devices, *globex.devices))
    answer = browser.get("/admin/devices/device/live/", {"ids": ids}).json()
    assert {d["id"] for d in answer["devices"]} == {str(d.id) for d in acme.devices}


def test_the_start_page_and_the_side_bar_name_nothing_foreign(
    browser: Client, is_clean: Callable[[Any], list[str]]
) -> None:
    assert is_clean(browser.get("/admin/")) == []


# Row level security would hide a hole in the scoping of the pages themselves. Inside globex's
# tenant it lets globex's rows through: what alice is refused here, the pages refuse by themselves.


def test_rows_are_scoped_even_without_row_security(
    admins: Admins, asked_by_alice: HttpRequest, globex: Cast, charlie_member: Membership
) -> None:
    with tenant(globex.id):
        for model, model_admin in admins:
            rows = model_admin.get_queryset(asked_by_alice)
            assert not set(_keys(rows)) & _foreign_keys(model, globex.id, charlie_member), model


def test_choices_are_scoped_even_without_row_security(
    admins: Admins, asked_by_alice: HttpRequest, globex: Cast
) -> None:
    tried = 0
    with tenant(globex.id):
        for model, model_admin in admins:
            forms = [model_admin.get_form(asked_by_alice)()] if model_admin.add_permission else []
            inlines = [inline(model, model_admin.admin_site) for inline in model_admin.inlines]
            forms += [inline.get_formset(asked_by_alice).form() for inline in inlines]
            for form in forms:
                for name, field in form.fields.items():
                    if isinstance(field, ModelChoiceField):
                        tried += 1
                        assert not field.queryset.exists(), (model, name)
    assert tried >= 4


def test_filters_are_scoped_even_without_row_security(
    admins: Admins, asked_by_alice: HttpRequest, globex: Cast
) -> None:
    tried = 0
    with tenant(globex.id):
        for model, model_admin in admins:
            for item in model_admin.get_list_filter(asked_by_alice):
                if not (isinstance(item, tuple) and issubclass(item[1], RelatedFieldListFilter)):
                    continue
                tried += 1
                field = model._meta.get_field(item[0])
                made = item[1](field, asked_by_alice, {}, model, model_admin, item[0])
                assert not made.lookup_choices, (model, item)
    assert tried >= 4


def _owned(model: type[Model]) -> bool:
    return issubclass(model, OrgOwnedModel)


def _keys(rows: Any) -> list[Any]:
    return list(rows.values_list("pk", flat=True))


def _foreign_keys(model: type[Model], organization_id: UUID, charlie: Membership) -> set[Any]:
    """The keys of globex's rows of a table."""
    if issubclass(model, OrgOwnedModel):
        keys = set(_keys(model.objects.for_org(organization_id)))
        assert keys, model
        return keys
    return {organization_id, charlie.user_id}


def _filled(model: type[Model]) -> dict[str, str]:
    """A form that would be accepted."""
    return {
        "name": "fine",
        "version": "1.0",
        "tag": "",
        "max_uses": "1",
        "lifetime_hours": "1",
        "lifetime_days": "1",
        "phase_percents": "100",
        "deployment_timeout_seconds": "3600",
        "all_devices": "",
    }

"""django-guardian keeps rows for us and decides nothing."""

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from guardian.models import UserObjectPermission
from guardian.shortcuts import assign_perm, get_objects_for_user
from guardian.utils import get_user_obj_perms_model

from apps.core.authz import declared, grantable
from apps.core.guards import EMPTY_TABLES
from apps.core.tenancy import UnscopedQuery
from apps.devices.access import GRANT_MODELS, OBJECT_MODELS, grantable_on
from apps.devices.models import DeviceGroup, DeviceGroupGrant
from apps.organizations.models import Membership
from tests.factories import Cast

pytestmark = pytest.mark.django_db


def row(name: str, model: type = DeviceGroup) -> Permission:
    return Permission.objects.get(
        content_type=ContentType.objects.get_for_model(model), codename=name
    )


def test_each_declared_permission_has_a_row_for_what_it_can_be_granted_on() -> None:
    for kind, model in OBJECT_MODELS.items():
        rows = Permission.objects.filter(content_type=ContentType.objects.get_for_model(model))
        names = set(rows.filter(codename__contains=".").values_list("codename", flat=True))
        assert names == grantable_on(kind)
    assert grantable_on("organization") == grantable()
    assert all(declared()[name].per_group for name in grantable_on("team"))
    assert "devices.register_device" not in grantable_on("organization")


def test_guardian_knows_each_object_by_its_own_table(acme: Cast) -> None:
    assert get_user_obj_perms_model(acme.group) is DeviceGroupGrant
    assert get_user_obj_perms_model(acme.organization) is GRANT_MODELS["organization"]


def test_nothing_is_granted_on_devices(acme: Cast) -> None:
    # One row per device would be a row per device; guardian would use its generic table.
    assert get_user_obj_perms_model(acme.device) is UserObjectPermission
    assert "accounts_user_user_permissions" in EMPTY_TABLES


def test_guardians_own_reading_and_writing_is_refused(
    acme: Cast, bob_member: Membership, in_acme: None
) -> None:
    with pytest.raises(UnscopedQuery):
        assign_perm(row("devices.view_devices"), bob_member.user, acme.group)
    with pytest.raises(UnscopedQuery):
        list(get_objects_for_user(bob_member.user, ["view_devicegroup"], DeviceGroup.unscoped))


@pytest.mark.parametrize("table", EMPTY_TABLES)
def test_the_application_cannot_fill_other_tables_of_rights(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        assert cursor.fetchone() == (0,)
        with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
            cursor.execute(f"INSERT INTO {table} DEFAULT VALUES")


def test_a_permission_is_for_its_kind_of_object(
    acme: Cast, bob_member: Membership, in_acme: None
) -> None:
    wrong = row("devices.view_devices", OBJECT_MODELS["team"])
    grant = DeviceGroupGrant(
        organization_id=acme.id, user=bob_member.user, permission=wrong, content_object=acme.group
    )
    with pytest.raises(ValidationError):
        grant.save(force_insert=True)


def test_people_are_not_patched(bob_member: Membership) -> None:
    assert not hasattr(bob_member.user, "add_obj_perm")
    assert not hasattr(bob_member.user, "get_obj_perms")

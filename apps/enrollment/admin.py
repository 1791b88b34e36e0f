"""Enrollment tokens, attempts and device certificates in the admin."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from apps.core import clock
from apps.core.org_admin.cells import badge, digest, when
from apps.core.org_admin.forms import OrgForm, RowsField, WordsField
from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.core.org_admin.operations import Operation
from apps.core.org_admin.scoping import actor_of
from apps.devices.models import DeviceGroup
from apps.devices.selectors.places import within
from apps.enrollment.models import Certificate, Enrollment, EnrollmentToken
from apps.enrollment.permissions import (
    CREATE_ENROLLMENT_TOKEN,
    REVOKE_CERTIFICATES,
    REVOKE_ENROLLMENT_TOKEN,
    VIEW_ENROLLMENT_TOKENS,
)
from apps.enrollment.selectors import enrollments_within, tokens_within
from apps.enrollment.services.certificates import revoke_certificates
from apps.enrollment.services.tokens import (
    DEFAULT_LIFETIME,
    MAX_LIFETIME,
    MAX_USES,
    create_enrollment_token,
    revoke_enrollment_token,
)

HOUR = timedelta(hours=1)


class NewTokenForm(OrgForm):
    """Who may join with a new token, how many, until when, and into what."""

    max_uses = forms.IntegerField(
        min_value=1, max_value=MAX_USES, initial=1, help_text="How many devices can join."
    )
    lifetime_hours = forms.IntegerField(
        min_value=1, max_value=MAX_LIFETIME // HOUR, initial=DEFAULT_LIFETIME // HOUR
    )
    requires_approval = forms.BooleanField(
        required=False, help_text="Devices wait until somebody approves them."
    )
    tags = WordsField(max_length=5000, required=False, help_text="Put on every device that joins.")
    groups = RowsField(DeviceGroup, required=False)


class ReasonForm(forms.Form):
    """Why, for those who read it later."""

    reason = forms.CharField(max_length=50, help_text="Kept with the certificates.")


@admin.register(EnrollmentToken)
class EnrollmentTokenAdmin(OrgModelAdmin):
    """Tokens; a secret is shown once, when it is made."""

    view_permission = VIEW_ENROLLMENT_TOKENS
    add_permission = CREATE_ENROLLMENT_TOKEN
    reached = staticmethod(tokens_within)
    page = "enrollment-token"
    list_display = ("name", "prefix", "standing", "uses_left", "max_uses", "expires")
    search_fields = ("name", "^prefix")
    ordering = ("-id",)
    sortable_by = ()
    add_form = NewTokenForm
    add_fields = ("name", "max_uses", "lifetime_hours", "requires_approval", "tags", "groups")
    extra_fields = ("standing",)
    operations = (
        Operation(
            "revoke_enrollment_token",
            "Revoke",
            REVOKE_ENROLLMENT_TOKEN,
            lambda actor, token, _values: revoke_enrollment_token(actor, token.pk),
            warning="No further device can join with it. Devices that joined stay.",
            applies=lambda token: token.revoked_at is None,
        ),
    )

    def add_object(self, request: HttpRequest, form: Any, formsets: Sequence[Any]) -> Model:
        """Makes the token."""
        values = form.cleaned_data
        made = create_enrollment_token(
            actor_of(request),
            name=values["name"],
            max_uses=values["max_uses"],
            lifetime=values["lifetime_hours"] * HOUR,
            requires_approval=values["requires_approval"],
            tags=values["tags"],
            group_ids=[group.pk for group in values["groups"]],
        )
        self.reveal(request, made.secret)
        return made.token

    def response_add(self, request: Any, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        """Shows the secret, once."""
        command = f"fleetd-agent enroll --server {settings.EXTERNAL_URL} --token …"
        return self.secret_page(request, obj, f"Devices enroll with it: {command}")

    def related_lists(self, obj: Any) -> list[tuple[str, str]]:
        """Who tried to join with it."""
        return [("enrollments", self.list_address(Enrollment, token__id__exact=obj.pk))]

    @admin.display(description="state")
    def standing(self, token: EnrollmentToken) -> SafeString:
        """Whether it can be used, and if not, why."""
        if token.revoked_at is not None:
            return badge("token", "revoked")
        if token.expires_at <= clock.now():
            return badge("token", "expired")
        return badge("token", "usable" if token.uses_left else "used_up")

    @admin.display(description="expires")
    def expires(self, token: EnrollmentToken) -> SafeString:
        """When it ends by itself."""
        return when(token.expires_at, future=True)


@admin.register(Enrollment)
class EnrollmentAdmin(OrgModelAdmin):
    """What came of each attempt to join."""

    view_permission = VIEW_ENROLLMENT_TOKENS
    reached = staticmethod(enrollments_within)
    list_display = ("at", "hostname", "outcome", "address", "token", "device")
    list_display_links = ("at",)
    list_select_related = ("token", "device")
    list_filter = ("token",)
    linked_by = ("device",)
    search_fields = ("hostname", "=hardware_id", "^outcome")
    ordering = ("-id",)
    sortable_by = ()

    @admin.display(description="time")
    def at(self, enrollment: Enrollment) -> SafeString:
        """When it was tried last."""
        return when(enrollment.updated_at)


@admin.register(Certificate)
class CertificateAdmin(OrgModelAdmin):
    """The certificates with which devices speak."""

    view_permission = VIEW_ENROLLMENT_TOKENS
    reached = staticmethod(partial(within, via="device"))
    list_display = ("serial", "device", "ends", "is_revoked", "key")
    list_select_related = ("device",)
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    linked_by = ("device",)
    search_fields = ("^serial", "device__name")
    ordering = ("-id",)
    sortable_by = ()
    hidden_fields = ("chain_pem",)
    operations = (
        Operation(
            "revoke_certificates",
            "Revoke the device's certificates",
            REVOKE_CERTIFICATES,
            lambda actor, certificate, values: revoke_certificates(
                actor, certificate.device_id, reason=values["reason"]
            ),
            warning="All certificates of the devices end and they are cut off at once. They can"
            " come back with an enrollment token only.",
            word="revoke",
            form=ReasonForm,
            applies=lambda certificate: certificate.revoked_at is None,
        ),
    )

    @admin.display(description="ends")
    def ends(self, certificate: Certificate) -> SafeString:
        """When it ends by itself."""
        return when(certificate.not_after, future=True)

    @admin.display(boolean=True, description="revoked")
    def is_revoked(self, certificate: Certificate) -> bool:
        """Whether it was ended early."""
        return certificate.revoked_at is not None

    @admin.display(description="public key")
    def key(self, certificate: Certificate) -> SafeString:
        """The fingerprint of its key."""
        return digest(certificate.public_key_hash)

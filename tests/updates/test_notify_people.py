"""People that a plan names are told by mail what happens to the rollout."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client, override_settings

from apps.accounts.services import mail as mails
from apps.core import clock
from apps.core.actors import Actor, system_actor
from apps.core.errors import InvalidRequest
from apps.organizations.models import Membership
from apps.updates.domain.notifications import Notifications, Occasion
from apps.updates.domain.plan import Plan
from apps.updates.models import Rollout, RolloutNotification
from apps.updates.services import notifications
from apps.updates.services.notifications import PAUSES, send_notifications
from apps.updates.services.planning import create_rollout, submit_rollout, update_rollout
from apps.updates.services.rollouts import halt_rollout, start_rollout
from apps.updates.types import Target
from tests import factories
from tests.bars.audited import browser
from tests.updates.conftest import make_release

pytestmark = pytest.mark.usefixtures("in_acme")

OPS, ANA = "ops@acme.test", "ana@acme.test"


@pytest.fixture
def mail_server() -> Iterator[None]:
    """Mails land in `mail.outbox`."""
    with override_settings(
        EMAIL_IS_CONFIGURED=True,
        EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend",
    ):
        yield


def planned(actor: Actor, **told: object) -> Rollout:
    plan = Plan(notifications=Notifications(**{"email": (OPS,), **told}))
    release = make_release(actor)
    return create_rollout(actor, name="Tools", release_id=release.id, target=Target(), plan=plan)


def rows(actor: Actor) -> list[RolloutNotification]:
    return list(RolloutNotification.objects.for_org(actor.organization_id).order_by("id"))


def send(actor: Actor) -> int:
    return send_notifications(system_actor(actor.organization_id))


@pytest.mark.usefixtures("mail_server")
def test_everybody_named_is_told_once(alice: Actor) -> None:
    rollout = planned(alice, email=(OPS, ANA))
    assert rows(alice) == []
    start_rollout(alice, rollout.id)
    assert send(alice) == 2
    assert send(alice) == 0
    assert sorted(m.to[0] for m in mail.outbox) == [ANA, OPS]
    [first, second] = mail.outbox
    assert first.subject == "[Acme] Tools has started"
    assert f"/rollouts/{rollout.id}" in first.body
    assert first.extra_headers["Message-ID"] != second.extra_headers["Message-ID"]
    assert [row.state for row in rows(alice)] == ["sent", "sent"]


@pytest.mark.usefixtures("mail_server")
def test_only_the_occasions_of_the_plan_are_told(alice: Actor) -> None:
    rollout = planned(alice, occasions=("halted",))
    start_rollout(alice, rollout.id)
    halt_rollout(alice, rollout.id, reason="smoke")
    assert [(row.occasion, row.words) for row in rows(alice)] == [
        ("halted", "Halted: alice@acme.test halted it: smoke")
    ]


def test_recipients_are_refused_where_there_is_no_mail_server(alice: Actor) -> None:
    with override_settings(EMAIL_IS_CONFIGURED=False), pytest.raises(InvalidRequest) as refused:
        planned(alice)
    assert refused.value.fields[0].code == "mail_not_configured"
    assert not Rollout.objects.for_org(alice.organization_id).exists()


@pytest.mark.usefixtures("mail_server")
@pytest.mark.parametrize(
    "told",
    [
        {"email": ("ops@acme.test\nBcc: all@acme.test",)},
        {"email": ("nobody",)},
        {"email": ("a@b.test, c@d.test",)},
        {"email": (OPS, OPS.upper())},
        {"email": tuple(f"a{n}@acme.test" for n in range(21))},
        {"occasions": ("exploded",)},
        {"email": (), "occasions": ("started",)},
        {"failures_above": -1},
    ],
)
def test_what_cannot_be_told_is_refused_before_anything_is_stored(
    alice: Actor, told: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest):
        planned(alice, **told)
    assert not Rollout.objects.for_org(alice.organization_id).exists()


@pytest.mark.usefixtures("mail_server")
def test_a_mail_server_that_is_away_is_asked_again_and_then_given_up(
    alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = planned(alice, occasions=("started",))
    start_rollout(alice, rollout.id)

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError("secret-host:587")

    monkeypatch.setattr(mails.EmailMessage, "send", refuse)
    now = clock.now()
    for minutes in (0, *PAUSES):
        now += timedelta(minutes=minutes)
        monkeypatch.setattr(clock, "now", lambda at=now: at)
        assert send(alice) == 0
    [row] = rows(alice)
    assert (row.state, row.attempts) == ("failed", len(PAUSES) + 1)
    assert row.last_error == "The mail server cannot be reached (ConnectionRefusedError)."
    monkeypatch.undo()
    assert send(alice) == 0


@pytest.mark.usefixtures("mail_server")
def test_a_mail_that_could_not_be_sent_waits_for_its_next_attempt(
    alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = planned(alice, occasions=("started",))
    start_rollout(alice, rollout.id)
    with monkeypatch.context() as away:
        away.setattr(mails.EmailMessage, "send", lambda _self: (_ for _ in ()).throw(TimeoutError))
        send(alice)
    assert send(alice) == 0
    later = clock.now() + timedelta(minutes=2)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert send(alice) == 1
    assert rows(alice)[0].last_error == ""


@pytest.mark.usefixtures("mail_server")
@pytest.mark.usefixtures("mail_server")
def test_an_organization_is_no_relay_for_mails(
    alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may plan rollouts names any address and writes the words."""
    monkeypatch.setattr(notifications, "PER_HOUR", 3)
    monkeypatch.setattr(notifications, "WAITING", 4)
    rollout = planned(alice, email=(OPS, ANA), occasions=("awaiting_approval",))
    values = {"name": "Tools", "release_id": rollout.release_id, "target": Target()}
    for _ in range(5):
        update_rollout(alice, rollout.id, **values, plan=rollout.planned(), requires_approval=True)
        submit_rollout(alice, rollout.id)
    assert len(rows(alice)) == 4
    assert [send(alice), send(alice)] == [3, 0]
    assert [row.state for row in rows(alice)] == ["sent", "sent", "sent", "waiting"]
    assert rows(alice)[-1].attempts == 0


def test_a_plan_that_tells_nobody_keeps_the_hash_that_it_had(alice: Actor) -> None:
    assert "notifications" not in Plan().dump()
    told = Plan(notifications=Notifications(email=(OPS,), occasions=(Occasion.HALTED.value,)))
    assert Plan.restore(told.dump()) == told


@pytest.mark.usefixtures("mail_server")
def test_the_page_and_rest_say_what_became_of_each_mail(
    alice: Actor, alice_member: Membership
) -> None:
    rollout = planned(alice, occasions=("started",))
    start_rollout(alice, rollout.id)
    send(alice)
    page = browser(alice_member).get(f"/rollouts/{rollout.id}/mails").content.decode()
    assert OPS in page
    assert "It has started." in page
    key = factories.api_key(alice_member)
    answer = Client().get(f"/api/v1/rollouts/{rollout.id}/notifications", HTTP_X_API_KEY=key)
    [told] = answer.json()["items"]
    assert (told["recipient"], told["state"], told["attempts"]) == (OPS, "sent", 1)

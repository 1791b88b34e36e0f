"""The chart of a rollout: what had succeeded and failed by when, and what was decided."""

from datetime import timedelta

from apps.core import clock
from apps.organizations.models import Membership
from apps.updates.models import Deployment, Rollout
from apps.updates.selectors.course import POINTS, read_course
from apps.updates.services.rollouts import pause_rollout, resume_rollout
from tests.bars.audited import browser
from tests.updates.conftest import Fleet, make_rollout


def test_the_curve_counts_every_device_once_at_its_time(fleet: Fleet) -> None:
    rollout = fleet.start()
    begin = clock.now() - timedelta(hours=2)
    Rollout.objects.for_org(fleet.organization_id).filter(id=rollout.id).update(started_at=begin)
    offers = fleet.claim()
    fleet.finish(offers[:5])
    fleet.finish(offers[5:7], "failed")
    rows = Deployment.objects.for_org(fleet.organization_id)
    early = [offer.deployment_id for offer in offers[:3]]
    rows.filter(id__in=early).update(finished_at=begin + timedelta(hours=1))
    course = read_course(fleet.alice, rollout.id)
    assert len(course.points) == POINTS + 1
    assert (course.points[0].succeeded, course.total) == (0, 8)
    middle = next(p for p in course.points if p.time >= begin + timedelta(minutes=63))
    assert (middle.succeeded, middle.failed) == (3, 0)
    assert (course.points[-1].succeeded, course.points[-1].failed) == (5, 2)


def test_a_device_that_is_tried_again_is_not_counted_as_failed(fleet: Fleet) -> None:
    rollout = fleet.start()
    (offer, *_) = fleet.claim()
    fleet.finish([offer], "failed")
    rows = Deployment.objects.for_org(fleet.organization_id).filter(id=offer.deployment_id)
    rows.update(is_retried=True)
    assert read_course(fleet.alice, rollout.id).points[-1].failed == 0


def test_pauses_and_phases_are_marked_with_who_did_it(
    fleet: Fleet, alice_member: Membership
) -> None:
    rollout = fleet.start(percents=(50, 100))
    pause_rollout(fleet.alice, rollout.id)
    resume_rollout(fleet.alice, rollout.id)
    marks = read_course(fleet.alice, rollout.id).marks
    assert [mark.type for mark in marks] == ["phase_opened", "paused", "resumed"]
    assert marks[1].actor_label == "alice@acme.test"
    text = browser(alice_member).get(f"/rollouts/{rollout.id}/chart").content.decode()
    assert 'role="img" aria-label="Devices over time: 0 of 8 succeeded and 0 failed' in text
    assert "The rollout was paused" in text
    assert "style=" not in text


def test_a_draft_has_no_chart(fleet: Fleet, alice_member: Membership) -> None:
    draft = make_rollout(fleet.alice, fleet.start().release)
    page = browser(alice_member)
    assert "<svg" not in page.get(f"/rollouts/{draft.id}/chart").content.decode()
    assert page.get(f"/rollouts/{draft.id}").status_code == 200

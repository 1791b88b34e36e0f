"""A task that renames any organization."""

from celery import shared_task

from apps.organizations.models import Organization


@shared_task(name="leaky.rename")
def rename(organization_id: str, other_id: str) -> None:
    """Renames whichever is named, whoever's it is."""
    Organization.objects.filter(id=other_id).update(name="renamed")

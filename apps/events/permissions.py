"""Rights on events."""

from apps.core.authz import AUDITORS, declare

VIEW_EVENTS = declare("events.view_events", "see events and their delivery", AUDITORS)

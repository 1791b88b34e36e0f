"""`fleetd check-isolation`: nothing of one organization reaches another, through any door.

Two organizations are built in a scratch database; then everything that the registries know (routes,
RPCs, pages, admin pages, topics, tasks, tables) is called by people of the first with ids of the
second. What cannot be walked is named and fails the run.
"""

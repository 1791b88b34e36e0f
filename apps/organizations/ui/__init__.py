"""The web UI of organizations, members and invitations."""

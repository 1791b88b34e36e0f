"""The web UI of keys."""

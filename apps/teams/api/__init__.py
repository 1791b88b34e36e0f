"""The REST door of teams and roles."""

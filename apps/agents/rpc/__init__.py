"""The agent port's service."""

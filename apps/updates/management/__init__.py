"""Commands of the update engine."""

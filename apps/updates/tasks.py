"""Work that the worker does for rollouts."""

"""Pages of the updates app."""

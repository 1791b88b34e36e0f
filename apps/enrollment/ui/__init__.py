"""Pages of the enrollment app."""

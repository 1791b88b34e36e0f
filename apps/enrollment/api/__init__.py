"""REST of enrollment tokens."""

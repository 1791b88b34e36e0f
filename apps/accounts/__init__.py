"""People, their sessions, and the API keys that they make."""

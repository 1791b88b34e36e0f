"""What every app builds on. The list of modules here is closed: a new one needs an ADR."""

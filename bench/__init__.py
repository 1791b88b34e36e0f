"""Speed claims, each with the command that repeats it (`make bench`)."""

"""One command runs the platform on one machine. Django is never imported here: this stays small."""

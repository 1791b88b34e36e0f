"""What every `admin.py` builds on: admin pages that stay within one organization (ADR 0012)."""

"""How devices join: tokens, the built-in certificate authority, and device certificates."""

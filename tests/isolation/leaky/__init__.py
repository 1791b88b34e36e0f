"""An app with one leak."""

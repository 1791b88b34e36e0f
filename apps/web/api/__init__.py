"""The REST door as a whole: its document and its reference page."""

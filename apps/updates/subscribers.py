"""What updates does when something happens to devices."""

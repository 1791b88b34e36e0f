"""Teams: people with roles on the device groups that the team owns."""

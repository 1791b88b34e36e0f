"""Rights on the doors of the web port itself."""

from apps.core.authz import EVERYONE, declare

# Each page of the admin asks for its own right besides; this one closes the door as a whole.
OPEN_ADMIN = declare("web.open_admin", "open the Django admin", EVERYONE)

"""Django's admin app, with our site as the one that `admin.register` registers on."""

from django.contrib.admin.apps import SimpleAdminConfig


class FleetdAdminConfig(SimpleAdminConfig):
    """No discovery: the site itself loads the product's own admin modules and nothing else."""

    default_site = "apps.web.admin_site.FleetdAdminSite"

"""Django's admin, with our own site (backoffice/sign_in.py)."""

from django.contrib.admin import apps


class AdminConfig(apps.AdminConfig):
    default_site = "backoffice.sign_in.AdminSite"

    def ready(self) -> None:
        """The project's own start, in every process that sets Django up."""
        super().ready()
        from backoffice import observation

        observation.start()

"""Django's admin, with our own site (backoffice/sign_in.py)."""

from django.contrib.admin import apps


class AdminConfig(apps.AdminConfig):
    default_site = "backoffice.sign_in.AdminSite"

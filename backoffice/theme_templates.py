"""Loads the templates of the installed applications, the theme's among them, with their icons hidden from who listens.

The theme writes an icon as a word that its font shows as a picture (`receipt_long`). A screen reader would read that
word before each entry of the menu.
"""

import re
from pathlib import Path
from typing import Any

from django.conf import settings
from django.forms import renderers
from django.template import Origin
from django.template.loaders import app_directories
from django.utils.functional import cached_property

_ICON = re.compile(r'<span(?=\s[^<>]*\bclass="(?:[^"<>]* )?material-symbols-outlined\b)(?![^<>]*\baria-hidden=)')


class Loader(app_directories.Loader):
    def get_contents(self, origin: Origin) -> str:
        return _ICON.sub('<span aria-hidden="true"', super().get_contents(origin))


class FormRenderer(renderers.DjangoTemplates):
    """Django's own, which finds the templates of fields in the applications too, by our loader."""

    @cached_property
    def engine(self) -> Any:
        folder = Path(renderers.__file__).parent / "templates"
        engine: Any = settings.TEMPLATES[0]
        loaders = engine["OPTIONS"]["loaders"]
        return self.backend({"APP_DIRS": False, "DIRS": [folder], "NAME": "forms", "OPTIONS": {"loaders": loaders}})

"""Writes the tables of docs/permissions.md."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from tests.permission_matrix.document import FILE, written  # noqa: E402

FILE.write_text(written(FILE.read_text()))

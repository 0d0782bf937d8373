"""What every benchmark needs: Django on a database that goes away, and the sandbox as Stripe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.test.utils import setup_databases, setup_test_environment, teardown_databases  # noqa: E402

from backoffice import long_lived  # noqa: E402
from tests.sandbox_process import SandboxProcess  # noqa: E402


@contextmanager
def database() -> Iterator[None]:
    """A fresh, migrated database: Django's test database."""
    setup_test_environment(debug=False)
    made = setup_databases(verbosity=0, interactive=False)
    try:
        print(f"database: {settings.DATABASES['default']['ENGINE'].rpartition('.')[2]}")
        long_lived.freeze()  # as the processes that are measured do at their start
        yield
    finally:
        teardown_databases(made, verbosity=0)


@contextmanager
def sandbox(invoices: int = 100) -> Iterator[SandboxProcess]:
    """A sandbox with so many invoices, as Stripe."""
    with SandboxProcess(invoices=invoices) as process:
        settings.STRIPE_API_BASE, settings.STRIPE_SECRET_KEY = process.url, process.key
        yield process

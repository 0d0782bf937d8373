"""Django's makemessages for the desk alone, without tests, sandbox and installed packages; and nothing is guessed."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import makemessages

IGNORED = [".*", "benchmarks/*", "deploy/*", "docs/*", "sandbox/*", "tests/*", "third_party/*", "node_modules/*"]


class Command(makemessages.Command):
    # A translation that is guessed from a similar text would be shown to nobody, and hide that one is missing.
    msgmerge_options = [*makemessages.Command.msgmerge_options, "--no-fuzzy-matching"]

    def handle(self, *args: Any, **options: Any) -> None:
        options["ignore_patterns"] = [*options["ignore_patterns"], *IGNORED]
        options["add_location"] = "file"  # a line number would change with every edit above it
        options["no_obsolete"] = True
        super().handle(*args, **options)

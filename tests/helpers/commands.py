"""Management commands that end with an exit status, run inside the test's own process."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command


def run_command(name: str, *words: str) -> tuple[int, str]:
    """(exit status, standard output)."""
    output = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command(name, *words, stdout=output)
    code = ended.value.code or 0
    assert isinstance(code, int), code
    return code, output.getvalue()

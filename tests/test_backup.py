"""A backup, restored as docs/operating.md says: the journal holds, erasures are made again, the mirror is equal."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from invoices import journal, refetch
from invoices.models import Invoice, Operation
from tests.factories import customer_at, invoice_at
from tests.helpers.database import url_of_database
from tests.helpers.operations import act
from tests.helpers.own_database import own_database, run
from tests.sandbox_process import ROOT, SandboxProcess

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]

NAME = "Zoë Quistgaard"
AFTER_RESTORING = """
import sys
from django.core.management import call_command
for words in (["erase_customer", "--again", sys.argv[1]], ["journal", "verify"], ["reconcile", "--full"],
              ["reconcile", "--verify"], ["journal", "verify"]):
    try:
        call_command(*words)
    except SystemExit as ended:
        assert (ended.code or 0) in ((0, 3) if "--full" in words else (0,)), (words, ended.code)
    if words[0] == "reconcile":
        from invoices import journal
        journal.chain()
from invoices.models import Invoice, Operation
print("invoices", sorted(Invoice.objects.values_list("id", "status")))
print("operations", sorted(Operation.objects.values_list("invoice", "state")))
print("names", Invoice.objects.filter(customer_name="NAME").count())
""".replace("NAME", NAME)


@pytest.fixture
def backup(tmp_path: Path) -> Iterator[tuple[Callable[[], None], Callable[[], str]]]:
    """What makes a backup of the tests' database, and what restores it elsewhere and says at which address."""
    if connection.vendor == "sqlite":
        copy = tmp_path / "desk.sqlite3"

        def save() -> None:
            """As `.backup` of sqlite3 does: it is the same function of SQLite."""
            with (
                closing(sqlite3.connect(connection.settings_dict["NAME"])) as here,
                closing(sqlite3.connect(copy)) as to,
            ):
                here.backup(to)

        yield save, lambda: f"sqlite:///{copy}"
        return
    if not (shutil.which("pg_dump") and shutil.which("pg_restore")):
        pytest.skip("NOT DONE HERE: there is no pg_dump")
    dump = str(tmp_path / "desk.dump")
    with own_database(connection.settings_dict) as other:

        def postgres(*words: str) -> None:
            subprocess.run(words, check=True, env=os.environ | {"PGPASSWORD": other.password})

        def save() -> None:
            where = url_of_database().replace(":@", "@")
            postgres("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={dump}", where)

        def restore() -> str:
            url = other.url(other.owner)
            postgres("pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={url}", dump)
            granted = other.manage(other.owner, "database_roles", "--runtime", other.runtime, "--apply")
            assert granted.returncode == 0, granted.stderr
            return url

        yield save, restore


def test_a_backup_is_restored_as_the_handbook_says(
    sandbox: SandboxProcess, agent: User, tmp_path: Path, backup: tuple[Callable[[], None], Callable[[], str]]
) -> None:
    """An invoice is paid before the backup and another one after it; and a customer is erased after it."""
    save, restore = backup
    customer = customer_at(sandbox, name=NAME)
    before, after = (invoice_at(sandbox, customer=customer.id).id for _ in range(2))
    for invoice in (before, after):
        refetch.refetch("invoice", invoice)
    assert act("pay", before, agent).state == Operation.State.SUCCEEDED
    journal.chain()
    save()
    assert act("pay", after, agent).state == Operation.State.SUCCEEDED
    sandbox.post(f"customers/{customer.id}/redact")
    call_command("erase_customer", customer.id, reason="on request", yes=True, stdout=StringIO())
    said = StringIO()
    call_command("erase_customer", list=True, stdout=said)
    erasures = tmp_path / "erasures.jsonl"
    erasures.write_text(said.getvalue())

    given: dict[str, Any] = {"STRIPE_API_BASE": sandbox.url, "STRIPE_SECRET_KEY": sandbox.key}
    script = tmp_path / "after_restoring.py"
    script.write_text(
        f"import os, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'backoffice.settings'\nimport django\ndjango.setup()\n"
        + AFTER_RESTORING
    )
    done = run([str(script), str(erasures)], ROOT, DATABASE_URL=restore(), STRIPE_REQUESTS_PER_SECOND="0", **given)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert f"invoices {sorted(Invoice.objects.values_list('id', 'status'))}" in done.stdout
    assert (
        f"operations [('{before}', 'succeeded')]" in done.stdout
    )  # what came after it is at Stripe, not in the journal
    assert "names 0" in done.stdout
    assert sandbox.stats()["charges"] == {before: 1, after: 1}

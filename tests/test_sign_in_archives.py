"""Months of sign-in records leave the database for files; the chain holds, and a killed run goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from invoices import journal, sign_ins
from invoices.journal import sign_in_archives
from invoices.journal.archives import By, NotArchivable
from invoices.models import SignInArchive, SignInRecord
from tests.helpers.commands import run_command

pytestmark = pytest.mark.django_db(transaction=True)


def records(month: str, number: int) -> None:
    for each in range(number):
        at = datetime.fromisoformat(f"{month}-03T10:00:{each:02}").replace(tzinfo=UTC)
        SignInRecord.objects.create(
            what="failed", username=f"näme {each}", by="ops", detail="x" * each, address="2001:db8::1", at=at
        )


def archive(folder: Path) -> str:
    out = StringIO()
    call_command("archive_sign_ins", "--before", "2026-02", "--reason", "two years", "--to", str(folder), stdout=out)
    return out.getvalue()


def test_months_go_and_the_chain_holds(tmp_path: Path) -> None:
    records("2025-12", 3)
    records("2026-01", 2)
    records("2026-02", 1)
    said = archive(tmp_path)
    assert "2025-12: 3 records" in said and "2 removed" in said
    assert SignInRecord.objects.count() == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "sign-ins-2025-12.jsonl.gz",
        "sign-ins-2026-01.jsonl.gz",
    ]
    assert run_command("journal", "verify", "--archive", str(tmp_path))[0] == 0
    assert archive(tmp_path).startswith("No record")
    (tmp_path / "sign-ins-2025-12.jsonl.gz").write_bytes(b"another")
    code, said = run_command("journal", "verify", "--archive", str(tmp_path))
    assert code == 3 and "sign-ins-2025-12" in said


def test_without_an_archive_a_missing_record_breaks_the_chain() -> None:
    records("2026-01", 2)
    journal.chain()
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM invoices_signinrecord")
    with sign_in_archives.triggers.lifted(SignInRecord), connection.cursor() as cursor:
        cursor.execute("DELETE FROM invoices_signinrecord WHERE detail = ''")
    assert run_command("journal", "verify")[0] == 3


def test_a_run_that_was_killed_before_the_removal_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records("2026-01", 3)

    def killed(*args: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sign_in_archives, "_remove", killed)
        with pytest.raises(KeyboardInterrupt):
            list(sign_in_archives.archive(datetime(2026, 2, 1).date(), tmp_path, By("old")))
    assert SignInRecord.objects.count() == 3 and SignInArchive.objects.count() == 1
    assert run_command("journal", "verify")[0] == 0
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(NotArchivable, match="Put the file back"):
        list(sign_in_archives.archive(datetime(2026, 2, 1).date(), tmp_path, By("old")))
    path.write_bytes(whole)
    assert "3 removed" in archive(tmp_path)
    assert not SignInRecord.objects.exists()
    assert run_command("journal", "verify", "--archive", str(tmp_path))[0] == 0


def test_what_is_young_stays() -> None:
    for before, said in (("2099-01", "older than 35 days"), ("January", "a month like")):
        with pytest.raises(CommandError, match=said):
            call_command("archive_sign_ins", "--before", before, "--reason", "old")
    with sign_ins.not_recorded():
        sign_ins.record(sign_ins.What.FAILED, username="x")
    assert not SignInRecord.objects.exists()

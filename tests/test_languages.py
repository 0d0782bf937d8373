"""The desk in every language: nothing that is shown goes past gettext, and German is complete and compiled."""

from __future__ import annotations

import calendar
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone, translation

from invoices import assignments, clock, exports, month_end, notes, operations, promises, reconcile, refetch
from invoices.models import Email, Invoice, Operation, ReconciliationRun
from invoices.statements import proposing
from tests.factories import customer_at, invoice_at
from tests.helpers import bank, untranslated
from tests.sandbox_process import SandboxProcess

CATALOG = Path(settings.LOCALE_PATHS[0]) / "de" / "LC_MESSAGES"
# What is shown in every language as it is: data, names of things, and the ids and codes of Stripe's.
# Shown in every language as it is: data, the names of things, and the ids and codes of Stripe's.
SAME_EVERYWHERE = re.compile(
    r"""
    [\w.+-]+@[\w.-]+ | https?://\S+ | \bLine\ \d+ | \S*\d\S* | \b[a-z]+_… | \b[a-z_]+(?:\.[a-z_]+)+ | \b(?:[a-z]+_)+\w+
    | \b(?:[A-Z]{3}|[kM]B|Invoice\ desk|Stripe|ID|API|CSV|XLSX|JSON|PaymentIntents?|Visa|Mastercard|English|Deutsch
        |Sandbox|Auditor|Billing\ manager|Finance|Service|Support\ agent)\b
    | \b(?:en|de|Ada|Byron|manager|agent|US\ dollars)\b | \b[a-z]+_…
    """,
    re.VERBOSE,
)


def rest(text: str) -> str:
    """What is left of a shown text without what is the same in every language."""
    return " ".join(SAME_EVERYWHERE.sub(" ", text).split())


# --- templates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", untranslated.templates(), ids=lambda path: str(path.relative_to(untranslated.HOUSE)))
def test_a_template_shows_nothing_past_gettext(path: Path) -> None:
    found = [
        f"{line}: {text}"
        for line, text in untranslated.bare_texts(path.read_text())
        if untranslated.LETTERS.search(rest(text))
    ]
    assert not found, "\n".join(found)


def test_the_scripts_show_no_text_of_their_own() -> None:
    """They take their texts from the page. What begins with a capital is a text, or the name of a key or a header."""
    found = []
    for path in (untranslated.HOUSE / "invoices/static/invoices").glob("*.js"):
        code = re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.MULTILINE)
        texts = set(map("".join, re.findall(r'"([^"\n]*)"|`([^`\n]*)`', code))) - KEYS
        found += [f"{path.name}: {text}" for text in sorted(texts) if re.match(r"[A-ZÄÖÜ][a-z]+(?: |$)", text)]
    assert not found, "\n".join(found)


KEYS = {"Enter", "Escape", "Tab", "Home", "End", "Backspace", "Delete", "Accept", "Content-Type"}


# Texts that are the same in German, and brands that Stripe names.
ALIKE = {"Administration", "visa", *calendar.month_name, *calendar.month_abbr, *calendar.day_name}

# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def records(sandbox: SandboxProcess, manager: User, deliver: Any) -> dict[str, str]:
    customer = customer_at(sandbox, email="ada@example.com", name="Ada Byron")
    paid, void, off, open_ = (invoice_at(sandbox, 2000, customer=customer.id) for _ in range(4))
    for each in (paid, void, off, open_):
        refetch.refetch("invoice", each.id)
    refetch.refetch("customer", customer.id)
    notes.write(open_.id, "4711 @manager", author=manager)
    promises.record(open_.id, amount="5", day=f"{timezone.localdate(clock.now())}", by=manager)
    assignments.give(open_.id, "manager", by=manager, seen=None)
    for action, invoice in (("pay", paid), ("void", void), ("mark_uncollectible", off)):
        operations.execute(action, invoice.id, actor=manager, source="admin", reason="4711")
    deliver()
    reconcile.sweep_lists("full")
    export = exports.ask(manager, "list.invoice", {}, format="csv", title="Invoices", file_name="invoices.csv")
    exports.run_due()
    credit, debit = bank.credits_of(
        bank.line(2000, f"4711 {Invoice.objects.get(pk=open_.id).number}", end_to_end_id="E2E-4711", currency="usd"),
        bank.line(-2000, "4711", returns=("E2E-4711",), currency="usd"),
    )
    proposing.propose_due()
    month = month_end.Month.last("UTC")
    closing = month_end.close(month, by=User.objects.get(pk=manager.pk), seen=0, reason="4711")
    Email.objects.update(subject="4711")  # what was sent stays in the words in which it was sent
    return {
        "open": open_.id,
        "paid": paid.id,
        "void": void.id,
        "off": off.id,
        "customer": customer.id,
        "operation": str(Operation.objects.filter(action="pay").get().pk),
        "export": str(export.pk),
        "statement": str(credit.statement_id),
        "closing": str(closing.pk),
        "credit": str(credit.pk),
        "returned": str(debit.pk),
        "run": str(ReconciliationRun.objects.latest("started_at").pk),
        "today": f"{clock.now():%Y-%m-%d}",
    }


PAGES = (
    "",
    "nothing/",
    "health/",
    "find/",
    "find/?q=2000",
    "password_change/",
    "auth/user/",
    "auth/user/add/",
    "auth/user/second-factors/",
    "auth/group/add/",
    "auth/group/",
    "invoices/invoice/",
    "invoices/invoice/?state=paid",
    "invoices/invoice/?q=nobody@example.com",
    "invoices/invoice/?due_from=garbage",
    "invoices/invoice/{open}/",
    "invoices/invoice/{paid}/",
    "invoices/invoice/{void}/",
    "invoices/invoice/{off}/",
    "invoices/invoice/{open}/?kind=notes",
    "invoices/invoice/{open}/?kind=events",
    "invoices/invoice/{open}/methods/",
    "invoices/invoice/{open}/newest/",
    "invoices/invoice/{open}/do/pay/",
    "invoices/invoice/{open}/do/charge_part/",
    "invoices/invoice/{open}/do/charge_part/?preview=1&amount=4.00",
    "invoices/invoice/{open}/methods/?action=charge_part",
    "invoices/invoice/{open}/do/void/",
    "invoices/invoice/{open}/do/mark_uncollectible/",
    "invoices/invoice/{open}/do/attach_out_of_band_payment/",
    "invoices/invoice/{open}/do/attach_payment/",
    "invoices/invoice/{open}/do/send/",
    "invoices/invoice/{paid}/do/void/",
    "invoices/monthclose/",
    "invoices/monthclose/check/",
    "invoices/monthclose/check/?month=nonsense",
    "invoices/monthclose/{closing}/",
    "invoices/bankstatement/",
    "invoices/bankstatement/upload/",
    "invoices/bankstatement/{statement}/",
    "invoices/banktransaction/",
    "invoices/banktransaction/?state=open",
    "invoices/banktransaction/confirm/",
    "invoices/banktransaction/{credit}/",
    "invoices/banktransaction/{returned}/",
    "invoices/customer/",
    "invoices/customer/{customer}/",
    "invoices/customer/{customer}/payment/",
    "invoices/customer/{customer}/cards/",
    "invoices/customer/{customer}/chosen/",
    "invoices/customer/{customer}/chosen/?_selected_action={open}",
    "invoices/customer/{customer}/stored/",
    "invoices/operation/",
    "invoices/operation/{operation}/",
    "invoices/batch/",
    "invoices/mention/",
    "invoices/invoicepayment/",
    "invoices/paymentintent/",
    "invoices/charge/",
    "invoices/charge/?state=failed",
    "invoices/creditnote/",
    "invoices/refund/",
    "invoices/event/",
    "invoices/reconciliationrun/",
    "invoices/reconciliationrun/{run}/",
    "invoices/drift/",
    "invoices/scheduledrefetch/",
    "invoices/email/",
    "invoices/pause/",
    "invoices/pause/add/",
    "invoices/apitoken/",
    "invoices/apitoken/add/",
    "invoices/webhookendpoint/",
    "invoices/webhookendpoint/add/",
    "invoices/signinrecord/",
    "invoices/invoice/file/?state=paid",
    "invoices/export/",
    "invoices/note/",
    "invoices/promise/",
    "invoices/export/{export}/",
    "reports/",
    "reports/payments/",
    "reports/payments/?from={today}",
    "reports/payments/?from={today}&group=outside",
    "reports/payments/?from=2026-13-40",
    "reports/receivables/?as_of={today}",
    "reports/issued/?from=2020-01-01",
    "reports/write_offs/?from=2020-01-01",
    "reports/attempts/?from=2020-01-01",
    "reports/operations/?from=2020-01-01",
    "reports/drift/?from=2020-01-01",
)


@pytest.mark.django_db(transaction=True)
def test_a_page_shows_nothing_past_gettext(client: Client, records: dict[str, str], manager: User) -> None:
    """In a language that marks each text which went through gettext, nothing but data stands outside the marks."""
    manager.is_superuser = True
    manager.save()
    found: dict[str, list[str]] = {}

    def look(address: str) -> None:
        response = client.get(address, follow=True)
        for text in untranslated.outside(response.content.decode()):
            if untranslated.LETTERS.search(rest(text)):
                found.setdefault(text, []).append(address)

    with untranslated.pseudo_language() as asked:
        look("/admin/login/")
        client.force_login(manager)
        for page in PAGES:
            look(f"/admin/{page.format(**records)}")
        for page in ("", "app/add/", "passkeys/", "passkeys/add/"):
            look(f"/account/second-factor/{page}")
        look("/account/confirm-password/")
    assert not found, "\n".join(f"{text!r}: {where[0]}" for text, where in found.items())
    # A text that is declared somewhere and only there shown by gettext must be marked where it is declared.
    ours = texts(CATALOG / "django.po")
    with translation.override("de"):
        unmarked = {
            text
            for context, text in asked - ours.keys()
            if untranslated.LETTERS.search(rest(text))
            and text not in ALIKE
            and untranslated.BEGIN not in text
            and (translation.pgettext(context, text) if context else translation.gettext(text)) == text
        }
    assert not unmarked, "\n".join(sorted(unmarked))


# --- German -----------------------------------------------------------------------------------------------------------

Texts = dict[tuple[str | None, str], tuple[str, ...]]  # the translations by context and text, plural forms apart


def texts(path: Path) -> Texts:
    with path.open("rb") as file:
        found = read_mo(file) if path.suffix == ".mo" else read_po(file)
    return {(context_of(message), forms(message.id)[0]): forms(message.string) for message in found if message.id}


def context_of(message: Any) -> str | None:
    """Babel gives that of a compiled text as bytes."""
    return message.context.decode() if isinstance(message.context, bytes) else message.context


def forms(text: Any) -> tuple[str, ...]:
    return tuple(text) if isinstance(text, tuple | list) else (str(text),)


def test_every_text_has_a_german_one() -> None:
    missing = [text for text, german in texts(CATALOG / "django.po").items() if not all(german)]
    assert not missing, missing


def test_the_compiled_catalog_is_the_written_one() -> None:
    assert texts(CATALOG / "django.po") == texts(CATALOG / "django.mo"), "make messages"


def test_the_values_of_a_translation_are_those_of_the_text() -> None:
    """A placeholder that only the translation has would fail on the page; one that it lacks hides a value. Only the
    singular may leave the number out."""
    names = re.compile(r"\{\w*\}|%\(\w+\)[sd]|%[sd]")
    wrong = []
    for (_, text), german in texts(CATALOG / "django.po").items():
        values, of_last = set(names.findall(text)), set(names.findall(german[-1]))
        if (len(german) == 1 and values != of_last) or not set(names.findall(german[0])) <= values | of_last:
            wrong.append((text, german))
    assert not wrong, wrong


@pytest.mark.skipif(
    shutil.which("xgettext") is None, reason="GNU gettext is not here: whether the catalog has every text is not tested"
)
def test_the_catalog_has_every_text(tmp_path: Path) -> None:
    house = untranslated.HOUSE
    for folder in ("backoffice", "invoices", "templates", "locale"):
        shutil.copytree(house / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(house / "manage.py", tmp_path / "manage.py")
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "backoffice.settings", "DATA_DIR": str(tmp_path / "data")}
    command = [sys.executable, "manage.py", "makemessages", "--locale", "de", "-v0"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)

    here, found = set(texts(CATALOG / "django.po")), set(texts(tmp_path / "locale/de/LC_MESSAGES/django.po"))
    assert here == found, f"make messages: {sorted(map(str, here ^ found))[:20]}"

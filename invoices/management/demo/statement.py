"""A bank statement to upload in the demo: credits that pay its open invoices, well written and badly written."""

from __future__ import annotations

from collections import defaultdict
from datetime import date

from invoices import money
from invoices.models import Invoice

ACCOUNT = "DE02120300000000202051"  # an example of the German banks' documentation
OPENING = 100_000  # minor units
INTEREST = 123
NEEDED = 6  # invoices


def bank_statement(day: date) -> str:
    """MT940 of one day; empty where too few invoices are open. Four credits name an invoice and pay it, one pays half
    of one, one has two figures of its number exchanged, one may name nothing, and one is interest."""
    unpaid = Invoice.objects.filter(status="open", amount_remaining__gt=1000, deleted_at=None).exclude(number=None)
    by_currency: dict[str, list[Invoice]] = defaultdict(list)
    for each in unpaid.order_by("-created", "pk")[:200]:
        by_currency[each.currency or ""].append(each)
    currency, found = max(by_currency.items(), key=lambda each: len(each[1]), default=("", []))
    found = found[: NEEDED + 1]
    if len(found) < NEEDED:
        return ""
    credits = [(_left(each), f"Invoice {each.number}", each.customer_name or "") for each in found[:4]]
    half, mistyped = found[4:6]
    credits.append((_left(half) // 2, f"part of {half.number}", half.customer_name or ""))
    credits.append((_left(mistyped), _mistyped(mistyped.number or ""), mistyped.customer_name or ""))
    credits += [(_left(each), "thank you", each.customer_name or "") for each in found[6:]]
    credits.append((INTEREST, "interest", "Example Bank"))
    lines = [":20:DEMO", f":25:{ACCOUNT}", ":28C:1/1", f":60F:{_balance(day, OPENING, currency)}"]
    for place, (amount, text, payer) in enumerate(credits, 1):
        lines.append(f":61:{day:%y%m%d}{day:%m%d}C{_written(amount, currency)}NTRFNONREF//DEMO-{place:04}")
        lines.append(f":86:166?00CREDIT?20{text[:27]}?21{text[27:54]}?32{payer.title()[:27]}")
    closing = OPENING + sum(amount for amount, _text, _payer in credits)
    return "\r\n".join([*lines, f":62F:{_balance(day, closing, currency)}", "-", ""])


def _left(invoice: Invoice) -> int:
    return invoice.amount_remaining or 0


def _mistyped(number: str) -> str:
    """Its last two figures exchanged, or the last one another where they are equal."""
    last = number[-2:][::-1]
    if last == number[-2:]:
        last = number[-2] + ("1" if number[-1] != "1" else "2")
    return number[:-2] + last


def _balance(day: date, amount: int, currency: str) -> str:
    return f"C{day:%y%m%d}{currency.upper()}{_written(amount, currency)}"


def _written(amount: int, currency: str) -> str:
    written = f"{money.major(amount, currency):f}".replace(".", ",")
    return written if "," in written else f"{written},"

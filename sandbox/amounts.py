"""The amounts of an invoice, in minor units: the sum of its lines and the customer's balance."""

from sandbox.store import HIDDEN, StripeObject

LINES_SHOWN = 10  # lines on the invoice itself; the others come from /v1/invoices/:id/lines


def lines_of(invoice: StripeObject) -> list[StripeObject]:
    """All lines. Those beyond the first ten are kept in the hidden member."""
    everything: list[StripeObject] = invoice.get(HIDDEN, {}).get("lines") or invoice["lines"]["data"]
    return everything


def set_lines(invoice: StripeObject, lines: list[StripeObject]) -> None:
    invoice["lines"].update(data=lines[:LINES_SHOWN], has_more=len(lines) > LINES_SHOWN, total_count=len(lines))
    hidden = invoice.setdefault(HIDDEN, {})
    hidden.pop("lines", None)
    if len(lines) > LINES_SHOWN:
        hidden["lines"] = lines


def set_totals(invoice: StripeObject, balance: int) -> None:
    total = sum(line["amount"] for line in lines_of(invoice))
    invoice.update(subtotal=total, subtotal_excluding_tax=total, total=total, total_excluding_tax=total)
    apply_balance(invoice, balance)


def apply_balance(invoice: StripeObject, balance: int) -> None:
    """Add the customer's balance to the total. A negative balance is credit, a positive one is debt."""
    due = max(invoice["total"] + balance, 0)
    invoice.update(starting_balance=balance, amount_due=due, amount_remaining=due)


def ending_balance(invoice: StripeObject) -> int:
    return min(int(invoice["total"]) + int(invoice["starting_balance"]), 0)

"""What an invoice comes to: its lines, the customer's balance, what has been paid."""

from sandbox.store import HIDDEN, Obj

SHOWN = 10  # lines that stand on the invoice itself


def lines_of(invoice: Obj) -> list[Obj]:
    """All of them: those beyond the first ten are kept out of sight."""
    everything: list[Obj] = invoice.get(HIDDEN, {}).get("lines") or invoice["lines"]["data"]
    return everything


def set_lines(invoice: Obj, lines: list[Obj]) -> None:
    invoice["lines"].update(data=lines[:SHOWN], has_more=len(lines) > SHOWN, total_count=len(lines))
    hidden = invoice.setdefault(HIDDEN, {})
    hidden.pop("lines", None)
    if len(lines) > SHOWN:
        hidden["lines"] = lines


def total_up(invoice: Obj, balance: int) -> None:
    total = sum(line["amount"] for line in lines_of(invoice))
    invoice.update(subtotal=total, subtotal_excluding_tax=total, total=total, total_excluding_tax=total)
    apply_balance(invoice, balance)


def apply_balance(invoice: Obj, balance: int) -> None:
    """A negative balance is credit; a positive one is owed and asked for here."""
    due = max(invoice["total"] + balance, 0)
    invoice.update(starting_balance=balance, amount_due=due, amount_remaining=due)


def ending_balance(invoice: Obj) -> int:
    return min(int(invoice["total"]) + int(invoice["starting_balance"]), 0)

"""What banks write beside a balance, or beside a sum of the file, where a payment has its purpose."""

from __future__ import annotations

import re

OPENING, CLOSING, BALANCE, TOTAL = "opening", "closing", "balance", "total"
# `Saldo vom 20.11.2026:`
_DAY_BEHIND = r"(\s+(vom|am|per|zum|on|at|of|du|au|del|al|op|d\.?d\.?)?\s*[0-9][0-9./ -]*[0-9])?\s*:?"
_WORDS: dict[str, tuple[str, ...]] = {
    OPENING: (
        *(r"(anfangs|eröffnungs|eroeffnungs|start|vortrags|begin)\s?saldo", "saldovortrag"),
        *("(alter|letzter) (konto)?(stand|saldo)", "(opening|start|starting|beginning|previous) (ledger )?balance"),
        *("balance (brought forward|forward|b/f)", "ancien solde", "ingående saldo", "vorig saldo"),
        "solde (initial|de départ|de depart|d'ouverture|précédent|precedent)",
        "saldo (contabile )?(inicial|iniziale|anterior|precedente|początkowe|poczatkowe)",
    ),
    CLOSING: (
        *(r"(end|schluss|abschluss|eind|slut)\s?saldo", "neuer (konto)?(stand|saldo)", "nieuw saldo"),
        *("(closing|end|ending|new|final) (ledger )?balance", "balance (carried forward|c/f)", "utgående saldo"),
        *("nouveau solde", "solde (final|de clôture|de cloture)"),
        "saldo (contabile )?(final|finale|końcowe|koncowe)",
    ),
    BALANCE: ("saldo", "(konto|tages)saldo", "kontostand", "(account |current )?balance", "solde"),
    TOTAL: (
        "((zwischen|gesamt|end)?summen?|gesamt|insgesamt|(grand |sub-?)?totals?|totaal|totale|suma|somme)"
        "( (der |aller |des |of )?(umsätze|umsaetze|buchungen|soll|haben|gutschriften|belastungen|einnahmen|ausgaben"
        "|credits?|debits?|transactions|payments|général|general))?",
    ),
}
_KNOWN = {kind: re.compile(f"#?({'|'.join(words)}){_DAY_BEHIND}", re.IGNORECASE) for kind, words in _WORDS.items()}


def kind_of(cell: str) -> str:
    """Which of these the whole cell says; nothing, where it may be the text of a payment."""
    written = " ".join(cell.split())
    return next((kind for kind, known in _KNOWN.items() if known.fullmatch(written)), "")

"""Currencies: which there are, and how many decimals each has."""

import re
from typing import Any

from sandbox import refusals
from sandbox.params import quoted

CODE = re.compile(r"[a-zA-Z]{3}", re.ASCII)
CODES = frozenset(
    (
        "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf "
        "chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl hrk htg "
        "huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt "
        "mop mro mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf "
        "sar sbd scr sek sgd shp sll sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf "
        "xcd xof xpf yer zar zmw"
    ).split(" ")
)
SIGNS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}
WHOLE = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split(" "))
THOUSANDTHS = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))


def currency(value: Any, path: str) -> str:
    lowered = value.lower() if isinstance(value, str) and CODE.fullmatch(value) else ""
    if lowered not in CODES:
        known = ", ".join(sorted(CODES))
        message = f"Invalid currency: {quoted(value)}. Stripe currently supports these currencies: {known}"
        raise refusals.invalid(message, path)
    return lowered


def money(amount: int, currency: str) -> str:
    digits = 0 if currency in WHOLE else 3 if currency in THOUSANDTHS else 2
    return f"{SIGNS.get(currency, currency.upper() + ' ')}{amount / 10**digits:,.{digits}f}"

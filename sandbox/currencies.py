"""Currencies: which ones are accepted, how many decimals each has, and which amounts (Stripe docs: Currencies)."""

import re
from typing import Any

from sandbox import refusals, unknowns
from sandbox.params import quoted

CODE_FORMAT = re.compile(r"[a-zA-Z]{3}", re.ASCII)
SUPPORTED = frozenset(
    (
        "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf "
        "chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl hrk htg "
        "huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt "
        "mop mro mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf "
        "sar sbd scr sek sgd shp sll sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf "
        "xcd xof xpf yer zar zmw"
    ).split(" ")
)
SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}
ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split(" "))
THREE_DECIMAL = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))
WHOLE_ONLY = frozenset(("isk", "ugx"))  # two decimals, which are always zero (Stripe docs: Special cases)
# The least amount of a charge in minor units, where Stripe names one (Stripe docs: Minimum and maximum charge amounts).
LEAST = {
    **dict.fromkeys("aud brl cad chf eur inr nzd sgd usd jpy".split(" "), 50),
    **dict.fromkeys("aed myr pln ron".split(" "), 200),
    **dict.fromkeys("mxn thb".split(" "), 1000),
    **{"bgn": 100, "czk": 1500, "dkk": 250, "gbp": 30, "hkd": 400, "huf": 17500, "nok": 300, "sek": 300},
}


def currency(value: Any, path: str) -> str:
    lowered = value.lower() if isinstance(value, str) and CODE_FORMAT.fullmatch(value) else ""
    if lowered not in SUPPORTED:
        known = ", ".join(sorted(SUPPORTED))
        message = f"Invalid currency: {quoted(value)}. Stripe currently supports these currencies: {known}"
        raise refusals.invalid_parameter(message, path)
    return lowered


def check_amount(amount: int, currency: str, path: str) -> None:
    """Refuses an amount, in minor units, that has decimals which its currency does not have."""
    if currency in WHOLE_ONLY and amount % 100:
        raise refusals.not_divisible_by_hundred(currency)
    if currency in THREE_DECIMAL and amount % 10:
        raise refusals.invalid_parameter(unknowns.THIRD_DECIMAL.format(currency.upper()), path)


def check_charge(amount: int, currency: str, path: str) -> None:
    """Refuses an amount, in minor units, that is below the least that Stripe charges."""
    if amount < LEAST.get(currency, 1):
        least = f"{formatted_amount(LEAST[currency], currency)} {currency}"
        raise refusals.invalid_parameter(f"Amount must be at least {least}", path, "amount_too_small")


def formatted_amount(amount: int, currency: str) -> str:
    digits = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    return f"{SYMBOLS.get(currency, currency.upper() + ' ')}{amount / 10**digits:,.{digits}f}"

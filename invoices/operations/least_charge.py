"""The least that Stripe charges, by currency.

Stripe's documentation ("Minimum and maximum charge amounts") names it for the currencies in which it pays out. In other
currencies it depends on the account, and Stripe's own answer says it.
"""

LEAST: dict[str, int] = {  # minor units
    **dict.fromkeys("aud brl cad chf eur inr nzd sgd usd jpy".split(), 50),
    **dict.fromkeys("aed myr pln ron".split(), 200),
    **dict.fromkeys("mxn thb".split(), 1000),
    **{"bgn": 100, "czk": 1500, "dkk": 250, "gbp": 30, "hkd": 400, "huf": 17500, "nok": 300, "sek": 300},
}


def of(currency: str | None) -> int:
    """In minor units; 1 where Stripe names none."""
    return LEAST.get((currency or "").lower(), 1)

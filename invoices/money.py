"""Minor units ↔ text, by currency. Amounts are integers everywhere else."""

from decimal import Decimal, InvalidOperation

from babel.numbers import format_currency

# Stripe's table (docs: "Zero-decimal currencies", "Three-decimal currencies"). Babel's differs: it gives ISK and UGX no
# decimals, while Stripe takes both in hundredths.
ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())


class BadAmount(ValueError):
    """The text is no amount of money; the message says what to do."""


def exponent(currency: str) -> int:
    """How many decimals Stripe's minor unit of this currency has: 0, 2 or 3."""
    code = currency.lower()
    if code in ZERO_DECIMAL:
        return 0
    return 3 if code in THREE_DECIMAL else 2


def major(amount: int, currency: str) -> Decimal:
    """Minor units as a Decimal in major units: 1050 usd → 10.50."""
    return Decimal(amount).scaleb(-exponent(currency))


def text(amount: int | None, currency: str | None) -> str:
    """An amount with its currency, for people: `USD 1,234.50`. An absent amount is a dash."""
    if amount is None or not currency:
        return "–"
    pattern = "#,##0" + (("." + "0" * exponent(currency)) if exponent(currency) else "")
    number = format_currency(
        major(amount, currency), currency.upper(), format=pattern, locale="en_US", currency_digits=False
    )
    return f"{currency.upper()} {number}"


def parse(written: str, currency: str) -> int:
    """What a person typed, in major units, as minor units: `1,234.50` usd → 123450. Raises BadAmount.

    Stripe's three-decimal amounts must end in 0 (docs: "Three-decimal currencies").
    """
    code, places = currency.upper(), exponent(currency)
    try:
        value = Decimal(written.strip().replace(",", "").replace("\u00a0", "").removeprefix(code).strip())
    except InvalidOperation:
        raise BadAmount(f"“{written}” is not an amount. Write it like {text(123450, currency)[4:]}.") from None
    if not value.is_finite() or value <= 0:
        raise BadAmount("The amount must be more than zero.")
    minor = value.scaleb(places)
    if minor != minor.to_integral_value():
        raise BadAmount(f"{code} has {places or 'no'} decimals; “{written}” has more.")
    if places == 3 and minor % 10:
        raise BadAmount(f"Stripe takes {code} in steps of 0.010; the third decimal must be 0.")
    if minor >= 10**12:
        raise BadAmount("The amount is larger than Stripe accepts.")
    return int(minor)

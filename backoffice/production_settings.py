"""What DJANGO_PRODUCTION=true requires before any process starts, what is refused without it, and lists of networks."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

DEVELOPMENT_KEY = "insecure-only-for-development-and-tests"
LEAST_KEY_LENGTH = 50  # characters, as Django's own check wants them
LEAST_DIFFERENT_CHARACTERS = 5  # as there
LEAST_TOKEN_LENGTH = 24  # characters; nothing limits how often it is guessed
LIVE_KEYS = ("sk_live_", "rk_live_")  # how Stripe's keys of the live mode begin
MAKE_A_KEY = "Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"


def refuse_unsafe(
    *,
    production: bool,
    debug: bool,
    secret_key: str,
    our_hosts: list[str],
    trusted_origins: Iterable[str],
    secure_cookies: bool,
    stripe_key: str,
    metrics_token: str,
) -> None:
    """Raises ImproperlyConfigured with a sentence for everything that is wrong, each of which names its variable.

    SQLite and the embedded broker are allowed: one machine is a production, too.
    """
    wrong: list[str] = []
    if production:
        wrong += _wrong_in_production(debug, secret_key, our_hosts, trusted_origins)
        if 0 < len(metrics_token) < LEAST_TOKEN_LENGTH:
            wrong.append(f"METRICS_TOKEN is too short against guessing: {LEAST_TOKEN_LENGTH} random characters.")
        if not secure_cookies:
            wrong.append("DJANGO_SECURE_COOKIES is false: leave it out. Cookies go over TLS alone.")
    elif stripe_key.startswith(LIVE_KEYS):
        wrong.append(
            "STRIPE_SECRET_KEY is of the live mode, and DJANGO_PRODUCTION is not set. Set DJANGO_PRODUCTION=true, or "
            "use a key of the test mode."
        )
    if wrong:
        raise ImproperlyConfigured("\n".join(wrong))


def _wrong_in_production(
    debug: bool, secret_key: str, our_hosts: list[str], trusted_origins: Iterable[str]
) -> Iterator[str]:
    if debug:
        yield "DJANGO_DEBUG is true: leave it out. Its error pages show settings and variables to everybody."
    if secret_key == DEVELOPMENT_KEY:
        yield f"DJANGO_SECRET_KEY is not set. {MAKE_A_KEY}"
    elif len(secret_key) < LEAST_KEY_LENGTH or len(set(secret_key)) < LEAST_DIFFERENT_CHARACTERS:
        yield f"DJANGO_SECRET_KEY is too short or simple: it needs {LEAST_KEY_LENGTH} random characters. {MAKE_A_KEY}"
    elif secret_key.startswith("django-insecure-"):
        yield f"DJANGO_SECRET_KEY begins with django-insecure-, as a key for development does. {MAKE_A_KEY}"
    if not our_hosts:
        yield "DJANGO_ALLOWED_HOSTS is not set. Name the hosts of the desk's addresses, such as desk.example.com."
    elif any(host.startswith("*") for host in our_hosts):
        yield "DJANGO_ALLOWED_HOSTS has a *, which lets anybody choose the host of our links. Name the hosts."
    for origin in trusted_origins:
        if not origin.startswith("https://"):
            yield f"DJANGO_CSRF_TRUSTED_ORIGINS has {origin}: write it with https://."


def networks(variable: str, written: Iterable[str]) -> list[IPv4Network | IPv6Network]:
    """Reads `10.0.0.0/8,fd00::/8`. Raises ImproperlyConfigured, which names what is no network."""
    found = []
    for part in filter(None, (part.strip() for part in written)):
        try:
            found.append(ip_network(part))
        except ValueError:
            raise ImproperlyConfigured(
                f"{variable}: “{part}” is no network. Write it as 10.0.0.0/8 or as one address, with commas between."
            ) from None
    return found


def origin_of(address: str) -> list[str]:
    """`https://login.example.com` of `https://login.example.com/realms/company`; nothing of what is no address."""
    parts = urlsplit(address)
    return [f"{parts.scheme}://{parts.netloc}"] if parts.scheme in ("http", "https") and parts.netloc else []

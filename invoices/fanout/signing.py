"""The signing secrets of endpoints, encrypted where they are stored; and the signature, in Stripe's scheme."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import string
from collections.abc import Iterable
from datetime import datetime

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.utils.encoding import force_bytes

from invoices.models import WebhookEndpoint

SECRET_LENGTH = 32  # characters after the prefix, as at Stripe
ALPHABET = string.ascii_letters + string.digits


class SecretUnreadable(Exception):
    """DJANGO_SECRET_KEY was replaced since. The message says what to do."""


def new_secret() -> str:
    return "whsec_" + "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))


def encrypted(secret: str) -> str:
    return _ciphers().encrypt(secret.encode()).decode()


def decrypted(stored: str) -> str:
    """Raises SecretUnreadable."""
    try:
        return _ciphers().decrypt(stored.encode()).decode()
    except InvalidToken:
        raise SecretUnreadable(
            "The signing secret cannot be read, because DJANGO_SECRET_KEY was replaced. Replace the secret of this "
            "endpoint, and give the new one to its service."
        ) from None


def _ciphers() -> MultiFernet:
    """Of the secret key, and of those that were replaced (SECRET_KEY_FALLBACKS)."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = [hashlib.sha256(b"webhook endpoint " + force_bytes(key)).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])


def secrets_of(endpoint: WebhookEndpoint, now: datetime) -> list[str]:
    """With which a sending of this moment is signed: the secret, and the one before while both count. Raises
    SecretUnreadable."""
    found = [decrypted(endpoint.secret)]
    if endpoint.previous_secret and endpoint.previous_secret_until and now < endpoint.previous_secret_until:
        found.append(decrypted(endpoint.previous_secret))
    return found


def header(body: bytes, now: datetime, signed_with: Iterable[str]) -> str:
    """The value of `Stripe-Signature`, which every SDK's `construct_event` reads."""
    stamp = int(now.timestamp())
    signed = f"{stamp}.".encode() + body
    digests = (hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in signed_with)
    return ",".join([f"t={stamp}", *(f"v1={digest}" for digest in digests)])

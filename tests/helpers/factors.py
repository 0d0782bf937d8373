"""A person's authenticator app, for tests: its secret, and the code that it shows now."""

from __future__ import annotations

import time
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.contrib.auth.models import User
from django.test import Client

PASSWORD = "a long enough password"  # of tests.factories.user_in_group


class App:
    """The app on somebody's telephone."""

    def __init__(self, secret: str = "") -> None:
        self.secret = secret or generate_totp_secret()

    def code(self, steps: int = 0) -> str:
        """The code of now, or of half minutes before or after."""
        return format_hotp_value(hotp_value(self.secret, int(time.time()) // 30 + steps))


def enrolled(user: User) -> App:
    """Gives the person an app and recovery codes."""
    app = App()
    TOTP.activate(user, app.secret)
    RecoveryCodes.activate(user)
    return app


def recovery_codes(user: User) -> list[str]:
    return Authenticator.objects.get(user=user, type="recovery_codes").wrap().get_unused_codes()


def password_step(client: Client, user: User, password: str = PASSWORD, **headers: Any) -> Any:
    """The first step of a sign-in."""
    return client.post("/admin/login/", {"username": user.username, "password": password}, **headers)


def signed_in(user: User, app: App) -> Client:
    """A browser in which the person has signed in with both."""
    client = Client()
    password_step(client, user)
    answer = client.post("/account/second-factor/sign-in/", {"code": app.code()})
    assert answer.status_code == 302, answer.content
    return client

"""A small OpenID Connect provider over HTTP: discovery, keys, code with PKCE, token, userinfo; with faults."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT_ID, CLIENT_SECRET = "invoice-desk", "a secret of the tests"


class IdentityProvider:
    """`person` are the claims of whoever signs in next. `forged`: ID tokens are signed by another key."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.person: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None  # None: as the ID token
        self.forged = self.unsigned = self.down = False
        self.audience = CLIENT_ID
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer(self, {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                provider.answer(self, {name: values[0] for name, values in parse_qs(body).items()})

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    # --- what a browser does there ------------------------------------------------------------------------------------

    def sign_in(self, address: str) -> str:
        """The person signs in at the address to which the desk sent her. Where the provider sends her back to."""
        parts = urlsplit(address)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert address.startswith(f"{self.issuer}/authorize?") and asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256" and "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    # --- what the desk asks -------------------------------------------------------------------------------------------

    def answer(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        path = urlsplit(handler.path).path
        self.asked.append(path)
        status, body = (503, {"error": "down"}) if self.down else self._answer(path, form)
        text = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def _answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        match path:
            case "/.well-known/openid-configuration":
                return 200, {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token",
                    "userinfo_endpoint": f"{self.issuer}/userinfo",
                    "jwks_uri": f"{self.issuer}/keys",
                    "token_endpoint_auth_methods_supported": ["client_secret_post"],
                }
            case "/keys":
                key = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
                return 200, {"keys": [{**key, "kid": "one", "alg": "RS256", "use": "sig"}]}
            case "/token":
                return self._token(form)
            case "/userinfo":
                return 200, self.person if self.userinfo is None else self.userinfo
        return 404, {}

    def _token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self.codes.pop(form.get("code", ""), None)  # a code is good once
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        right = asked and form.get("client_secret") == CLIENT_SECRET and asked["code_challenge"] == challenge
        if not right:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": self.audience, "iat": now, "exp": now + 300, **self.person}
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048) if self.forged else self.key
        token = (
            jwt.encode(claims, "", algorithm="none", headers={"kid": "one"})
            if self.unsigned
            else jwt.encode(claims, key, algorithm="RS256", headers={"kid": "one"})
        )
        return 200, {"access_token": secrets.token_urlsafe(8), "token_type": "Bearer", "id_token": token}

"""A company's service that takes the desk's events: an HTTP server that checks each by Stripe's SDK, as services do."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import stripe
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.models import User

from invoices.fanout import endpoints
from invoices.fanout.endpoints import Actor
from invoices.models import WebhookEndpoint

Answer = Callable[[str], int]  # from an event's id to the HTTP status


class Service(ThreadingHTTPServer):
    """Keeps the bodies that came, and what the SDK made of them under each of `secrets`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, certificate: Path | None = None) -> None:
        """`certificate`: a file with the key and the certificate (PEM) of `localhost`, for TLS."""
        self.secrets: list[str] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.events: list[Any] = []
        self.moments: list[float] = []
        self.answer: Answer = lambda id: 200
        self.location = ""  # of a redirect
        self.on_event: Callable[[Any], None] = lambda event: None
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/events"
        self.names_asked: list[str | None] = []  # by TLS's SNI
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            tls.sni_callback = lambda held, name, context: self.names_asked.append(name)
            self.socket = tls.wrap_socket(self.socket, server_side=True)
            self.url = f"https://localhost:{self.server_address[1]}/events"

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    def wait(self, count: int, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while len(self.events) < count:
            assert time.monotonic() < end, f"{len(self.events)} of {count} came: {self.ids}"
            time.sleep(0.01)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signature = self.headers["Stripe-Signature"]
        event: Any = None
        for secret in self.server.secrets:
            event = stripe.Webhook.construct_event(body, signature, secret)
        self.server.bodies.append(body)
        self.server.headers.append(dict(self.headers.items()))
        self.server.moments.append(time.monotonic())
        self.server.on_event(event)
        status = self.server.answer(event.id if event else "")
        self.server.events.append(event)
        extra = f"Location: {self.server.location}\r\n" if self.server.location else ""
        self.wfile.write(f"HTTP/1.1 {status} x\r\n{extra}Content-Length: 2\r\n\r\nok".encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def certificate_of_localhost(folder: Path) -> Path:
    """A file with a key and a certificate that vouches for itself, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "localhost.pem"
    file.write_bytes(written + made.public_bytes(serialization.Encoding.PEM))
    return file


@contextmanager
def service(certificate: Path | None = None) -> Iterator[Service]:
    serving = Service(certificate)
    thread = threading.Thread(target=serving.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield serving
    finally:
        serving.shutdown()
        serving.server_close()
        thread.join()


def made(serving: Service | str, *types: str, owner: User | None = None, id: str = "") -> WebhookEndpoint:
    """An endpoint that leads to this service, which then knows its secret."""
    url = serving if isinstance(serving, str) else serving.url
    endpoint, secret = endpoints.create(url, types or ["*"], owner=owner, actor=Actor(), id=id)
    if isinstance(serving, Service):
        serving.secrets = [secret]
    return endpoint

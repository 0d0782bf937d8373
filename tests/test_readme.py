"""The README, followed word for word: from an empty folder and an empty database to a signed-in page.

Only what the README marks as the reader's own is replaced (the values below `# Yours`) and the port, and the sandbox
stands for Stripe. TLS is ended by nobody here: the test sends what a proxy would send.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode, urljoin

import psycopg
import pytest

from tests.sandbox_process import SandboxProcess

HOUSE = Path(__file__).resolve().parent.parent
HOST = "desk.example.com"
PATIENCE = 300.0  # seconds, on a machine that does much else
NOT_COPIED = shutil.ignore_patterns(
    ".git",
    ".venv",
    ".demo",
    "tests",
    "docs",
    "benchmarks",
    ".*_cache",
    "data",
    "desk.env",
    "__pycache__",
    ".hypothesis",
)


def blocks() -> list[tuple[str, str]]:
    """The indented commands of “Connect a Stripe account” in order, each with the bold or italic words before it."""
    section = (HOUSE / "README.md").read_text().partition("\n## Connect a Stripe account\n")[2].partition("\n## ")[0]
    found, title, lines = [], "", []
    for line in [*section.splitlines(), ""]:
        if line.startswith("    "):
            lines.append(line[4:])
            continue
        if lines:
            found.append((title, "\n".join(lines)))
            lines = []
        if heading := re.match(r"\*+([^*]+)\*+", line):
            title = heading[1]
    return found


class MailServer(threading.Thread):
    """Takes mails by SMTP and keeps what was sent."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.taken = b""

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                connection.sendall(b"220 mail.internal\r\n")
                in_body = False
                for line in lines:
                    if in_body and line != b".\r\n":
                        self.taken += line
                        continue
                    word = line.strip().upper()
                    starts_body = word == b"DATA" and not in_body
                    connection.sendall(b"354 go on\r\n" if starts_body else b"250 done\r\n")
                    in_body = starts_body
                    if word == b"QUIT":
                        break


class Fields(HTMLParser):
    """The first form with a password or a code: where it is sent, and its fields; and the text of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, tuple[str, str]]]] = []
        self.text = page
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.forms.append((given.get("action", ""), {}))
        elif tag == "input" and self.forms and given.get("name"):
            self.forms[-1][1][given["name"]] = (given.get("type", "text"), given.get("value", ""))

    def form_with(self, wanted: str) -> tuple[str, dict[str, tuple[str, str]]] | None:
        """The form with a field of this name or type."""
        return next(
            (one for one in self.forms if wanted in one[1] or wanted in [kind for kind, _ in one[1].values()]), None
        )


class Browser:
    """A browser behind the proxy: keeps cookies, follows redirects, sends what the proxy adds."""

    def __init__(self, port: int) -> None:
        self.port, self.path = port, "/"
        self.cookies: SimpleCookie = SimpleCookie()

    def get(self, path: str) -> str:
        return self._send("GET", path, None)

    def submit(self, form: tuple[str, dict[str, tuple[str, str]]], **filled: str) -> str:
        values = {name: value for name, (_, value) in form[1].items()} | filled
        return self._send("POST", urljoin(self.path, form[0] or self.path), urlencode(values))

    def _send(self, method: str, path: str, body: str | None, hops: int = 10) -> str:
        assert hops, f"the redirects do not end: {path}"
        address = f"https://{HOST}"
        headers = {
            "Host": HOST,
            "Cookie": "; ".join(f"{name}={cookie.value}" for name, cookie in self.cookies.items()),
            "X-Forwarded-For": "203.0.113.7",
            "X-Forwarded-Proto": "https",
            "Origin": address,
            "Referer": address + self.path,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        server = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        server.request(method, path, body, headers)
        answer = server.getresponse()
        page = answer.read().decode()
        for cookie in answer.headers.get_all("Set-Cookie", []):
            assert "secure" in cookie.lower(), cookie
            self.cookies.load(cookie)
        server.close()
        self.path = path.partition("?")[0]
        if location := answer.headers.get("Location"):
            return self._send("GET", urljoin(path, location).removeprefix(address), None, hops - 1)
        assert answer.status == 200, f"{method} {path}: {answer.status} {page[:500]}"
        return page


def one_time_code(secret: str) -> str:
    """What an authenticator app shows now for this secret (RFC 6238)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    number = struct.unpack(">I", digest[digest[-1] & 15 :][:4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


class Reader:
    """Someone new, who copies the README's commands into a shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        self.env |= {"HOME": str(folder), "PYTHONUNBUFFERED": "1"}
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self, commands: str) -> str:
        """Runs the commands in a shell that goes on where the one before ended; returns what they printed."""
        after = self.folder / "environment"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{commands}\nenv -0 > '{after}'"],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        self.env = dict(pair.split("=", 1) for pair in after.read_text().split("\0") if pair)
        return done.stdout + done.stderr

    def start(self, command: str) -> None:
        with (self.folder / f"process{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)

    def logs(self) -> str:
        return "\n".join(log.read_text() for log in sorted(self.folder.glob("process*.log")))

    def end(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository as someone new has it, but for the libraries: those are the ones of this test."""
    folder = tmp_path / "desk"
    shutil.copytree(HOUSE, folder, ignore=NOT_COPIED)
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name not in (".run", ".dev"):
            (folder / ".venv" / part.name).symlink_to(part)
    (folder / ".venv/.run").touch()  # `make install` has nothing left to install
    return folder


@pytest.fixture
def reader(copy: Path) -> Iterator[Reader]:
    reader = Reader(copy)
    yield reader
    reader.end()


@pytest.fixture
def stripe() -> Iterator[SandboxProcess]:
    with SandboxProcess(webhook_secret="whsec_of_the_endpoint", invoices=3) as sandbox:
        yield sandbox


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer()
    server.start()
    yield server
    server.socket.close()


@pytest.fixture
def addresses(copy: Path) -> Iterator[dict[str, str]]:
    """An empty database and a broker of the sort that the environment of the tests names."""
    broker = os.environ.get("CELERY_BROKER_URL", "embedded://")
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        yield {"DATABASE_URL": f"sqlite:///{copy}/desk.sqlite3", "CELERY_BROKER_URL": broker}
        return
    server, name = url.rpartition("/")[0], f"readme_{uuid.uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield {"DATABASE_URL": f"{server}/{name}", "CELERY_BROKER_URL": broker}
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def fill_in(file: Path, values: dict[str, str]) -> None:
    """Replaces every value below `# Yours`, as the README says, and no other."""
    lines, yours, filled = [], False, set()
    for line in file.read_text().splitlines():
        if line.startswith("#"):
            yours = line.startswith("# Yours")
        elif yours:
            name = line.partition("=")[0]
            filled.add(name)
            lines.append(f"{name}={values[name]}")
            continue
        lines.append(line)
    assert filled == values.keys()
    file.write_text("\n".join(lines) + "\n")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_it_answers(reader: Reader, command: str) -> str:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return reader.run(command)
        except AssertionError as error:
            if time.monotonic() > end:
                raise AssertionError(f"{error}\n{reader.logs()}") from None
        time.sleep(1)


def sign_in(browser: Browser, username: str, password: str) -> str:
    """The first page behind the sign-in; a second factor is set up where the page before it asks for one."""
    form = Fields(browser.get("/admin/")).form_with("password")
    assert form is not None
    name = "username" if "username" in form[1] else "login"
    page = browser.submit(form, **{name: username, "password": password})
    if (add_app := re.search(r'href="([^"]*/app/add/)"', page)) is not None:
        page = browser.get(add_app[1])
    if (form := Fields(page).form_with("code")) is not None:
        secret = re.search(r"\b[A-Z2-7]{32}\b", page)
        assert secret, page
        browser.submit(form, code=one_time_code(secret[0]))
    return browser.get("/admin/")


@pytest.mark.timeout(900)  # seconds: eight commands and four processes, each of which starts Django
def test_on_servers_the_readme_leads_from_nothing_to_a_signed_in_page(
    reader: Reader, stripe: SandboxProcess, mail: MailServer, addresses: dict[str, str]
) -> None:
    port = free_port()
    reader.env["STRIPE_API_BASE"] = stripe.url  # the sandbox is Stripe here
    yours = {
        **addresses,
        "DJANGO_ALLOWED_HOSTS": HOST,
        "DJANGO_CSRF_TRUSTED_ORIGINS": f"https://{HOST}",
        "DJANGO_PUBLIC_URL": f"https://{HOST}",
        "TRUSTED_PROXIES": "127.0.0.1/32",
        "DJANGO_EMAIL_HOST": "127.0.0.1",
        "DJANGO_EMAIL_PORT": str(mail.port),
        "DJANGO_FROM_EMAIL": "invoice-desk@example.com",
        "FINANCE_EMAILS": "finance@example.com",
        "STRIPE_SECRET_KEY": stripe.key,
        "STRIPE_WEBHOOK_SECRETS": "whsec_of_the_endpoint",
    }
    said = ""
    for title, block in blocks():
        commands = block.replace("8000", str(port))
        if title == "On a laptop":
            continue
        if title.startswith("6."):
            for command in commands.replace("\\\n", "").splitlines():
                reader.start(command)
        elif title.startswith("7."):
            for command in commands.splitlines():
                until_it_answers(reader, command)
        else:
            said += reader.run(commands)
            if title == "On servers":
                fill_in(reader.folder / "desk.env", yours)
    assert (reader.folder / "desk.env").stat().st_mode & 0o077 == 0
    password = re.search(r"password (\S+)", said)
    assert password and f"https://{HOST}/admin/" in said
    assert b"To: you@example.com" in mail.taken
    assert (reader.folder / "data").is_dir()
    stripe.webhook(f"http://localhost:{port}/webhooks/stripe")  # as `stripe listen` brings them
    invoice = stripe.client().v1.invoices.create({"customer": stripe.client().v1.customers.create({}).id}).id
    browser = Browser(port)
    page = sign_in(browser, "you", password[1])
    assert "Sign out" in page or "Log out" in page, page[:2000]
    end = time.monotonic() + PATIENCE
    while invoice not in browser.get("/admin/invoices/invoice/"):
        assert time.monotonic() < end, reader.logs()
        time.sleep(1)


LAPTOP = """
from django.test import Client
local, other = Client(headers={"host": "localhost:8000"}), Client(headers={"host": "desk.example.com"})
page = local.get("/admin/login/", follow=True)
webhook = local.post("/webhooks/stripe", b"{}", content_type="text/plain")  # without a signature: refused for that
print("ANSWERS", page.status_code, webhook.status_code, other.get("/admin/login/").status_code)
print("COOKIES", [name for name, cookie in local.cookies.items() if cookie["secure"]])
"""


def test_on_a_laptop_the_cookies_need_no_tls_and_localhost_is_let_in(reader: Reader) -> None:
    commands = dict(blocks())
    reader.run(commands["On a laptop"])
    fill_in(reader.folder / "desk.env", {"STRIPE_SECRET_KEY": "rk_test_1", "STRIPE_WEBHOOK_SECRETS": "whsec_1"})
    reader.run(commands["5. Tables, the first person, the first import."].splitlines()[0])
    (reader.folder / "laptop.py").write_text(LAPTOP)
    said = reader.run(".venv/bin/python manage.py shell --verbosity 0 < laptop.py")
    assert "ANSWERS 200 400 400" in said and "COOKIES []" in said, said
    assert "Invalid HTTP_HOST header: 'desk.example.com'" in said
    assert "Invalid HTTP_HOST header: 'localhost" not in said

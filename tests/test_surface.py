"""What the desk shows to the outside: headers, settings of production, secrets from files, doors, and attacks."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as loaded
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from backoffice.headers import HEADERS
from backoffice.production_settings import networks, origin_of, refuse_unsafe
from backoffice.secret_settings import secret, secrets_list
from invoices.models import ApiToken
from tests.factories import user_in_group

HOUSE = Path(__file__).resolve().parent.parent
POLICY = "Content-Security-Policy"


# --- settings of production -------------------------------------------------------------------------------------------


def run_manage(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """A shell with nothing of this process's environment but its path."""
    clean = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder), "PYTHON": sys.executable, "PYTHONUTF8": "1"}
    return subprocess.run(["bash", "-ec", script], cwd=HOUSE, env=clean, capture_output=True, text=True, check=False)


def test_the_environment_of_the_readme_passes_djangos_own_examination(tmp_path: Path) -> None:
    readme = (HOUSE / "README.md").read_text()
    on_servers = readme.partition("*On servers*")[2].partition("**3. The key.**")[0]
    commands = "\n".join(re.findall(r"^    (.*)$", on_servers, re.MULTILINE))
    assert "DJANGO_PRODUCTION=true" in commands and "DJANGO_SECRET_KEY" in commands
    show = (
        "from backoffice import settings as s; print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, s.SECURE_SSL_REDIRECT)"
    )
    script = f"""cd {tmp_path}
{commands}
set -a; . ./desk.env; set +a
cd {HOUSE}
$PYTHON manage.py check --deploy --fail-level INFO
$PYTHON -c '{show}'"""
    found = run_manage(tmp_path, script)
    assert (found.returncode, found.stderr) == (0, "")
    assert "no issues" in found.stdout
    assert found.stdout.splitlines()[-1] == "__Host-sessionid __Host-csrftoken True"


@pytest.mark.parametrize("spelled", ["CERT_REQUIRED", "required"])
def test_celery_and_the_limits_know_redis_by_its_certificate(tmp_path: Path, spelled: str) -> None:
    """Celery takes its own spelling and that of redis-py, which counts for the limits, and takes its own alone."""
    url = f"rediss://user:CERT_NONE@redis.internal:6379/0?ssl_cert_reqs={spelled}&ssl_ca_certs=/etc/ca.pem"
    show = (
        "import redis; from kombu.utils.url import parse_url; "
        "from backoffice.settings import CELERY_BROKER_URL as url; "
        "print(parse_url(url)['ssl']['ssl_cert_reqs'].name, parse_url(url)['password'], "
        "redis.ConnectionPool.from_url(url).make_connection().cert_reqs.name)"
    )
    found = run_manage(tmp_path, f"CELERY_BROKER_URL='{url}' $PYTHON -c \"{show}\"")
    assert (found.stdout, found.stderr) == ("CERT_REQUIRED CERT_NONE CERT_REQUIRED\n", "")


def test_a_live_key_does_not_start_without_production(tmp_path: Path) -> None:
    found = run_manage(tmp_path, "STRIPE_SECRET_KEY=rk_live_1 $PYTHON manage.py check")
    assert found.returncode == 1
    assert "STRIPE_SECRET_KEY is of the live mode, and DJANGO_PRODUCTION is not set." in found.stderr
    assert "rk_live_1" not in found.stderr.splitlines()[-1]


def test_settings_that_refuse_to_start_are_not_half_made(tmp_path: Path) -> None:
    """What asks for a setting while they are made has Django take what there is so far for all of them."""
    script = "from django.conf import settings\ntry: settings.DEBUG\nexcept Exception: print(settings.configured)"
    setting = "DJANGO_SETTINGS_MODULE=backoffice.settings STRIPE_SECRET_KEY=rk_live_1"
    found = run_manage(tmp_path, f"{setting} $PYTHON -c {shlex.quote(script)}")
    assert found.stdout == "False\n", found.stderr


GOOD = {
    "production": True,
    "debug": False,
    "secret_key": "".join(chr(50 + number % 60) for number in range(64)),
    "our_hosts": ["desk.example.com"],
    "trusted_origins": ["https://desk.example.com"],
    "secure_cookies": True,
    "stripe_key": "rk_live_1",
    "metrics_token": "",
}


@pytest.mark.parametrize(
    ("member", "value", "variable"),
    [
        ("debug", True, "DJANGO_DEBUG"),
        ("secret_key", "insecure-only-for-development-and-tests", "DJANGO_SECRET_KEY is not set"),
        ("secret_key", "tooshort", "DJANGO_SECRET_KEY"),
        ("secret_key", "a" * 64, "DJANGO_SECRET_KEY"),
        ("secret_key", "django-insecure-" + "0123456789" * 5, "DJANGO_SECRET_KEY"),
        ("our_hosts", [], "DJANGO_ALLOWED_HOSTS"),
        ("our_hosts", ["desk.example.com", "*"], "DJANGO_ALLOWED_HOSTS"),
        ("trusted_origins", ["http://desk.example.com"], "DJANGO_CSRF_TRUSTED_ORIGINS"),
        ("secure_cookies", False, "DJANGO_SECURE_COOKIES"),
        ("metrics_token", "guessme", "METRICS_TOKEN"),
    ],
)
def test_what_production_refuses(member: str, value: Any, variable: str) -> None:
    refuse_unsafe(**GOOD)  # type: ignore[arg-type]
    with pytest.raises(ImproperlyConfigured, match=variable) as refusal:
        refuse_unsafe(**{**GOOD, member: value})
    if member == "secret_key":
        assert value not in str(refusal.value) or variable == "DJANGO_SECRET_KEY is not set"


def test_a_network_that_is_none_is_named() -> None:
    assert [str(network) for network in networks("X", ["10.0.0.0/8", " fd00::/8", ""])] == ["10.0.0.0/8", "fd00::/8"]
    with pytest.raises(ImproperlyConfigured, match=r"X: “10\.0\.0\.0/99” is no network"):
        networks("X", ["10.0.0.0/99"])


def test_the_policy_lets_a_form_lead_to_the_single_sign_on_and_nowhere_else() -> None:
    assert origin_of("https://login.example.com:8443/realms/company?a=b") == ["https://login.example.com:8443"]
    assert origin_of("") == origin_of("login.example.com") == origin_of("javascript:alert(1)") == []


# --- secrets from files -----------------------------------------------------------------------------------------------


def test_a_secret_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text(" a,b \r\n")
    monkeypatch.setenv("SOME_SECRET_FILE", str(file))
    assert secret("SOME_SECRET") == " a,b "
    assert secrets_list("SOME_SECRET") == ["a", "b"]
    monkeypatch.setenv("SOME_SECRET_FILE", "")
    assert secret("SOME_SECRET", "default") == "default"
    monkeypatch.setenv("SOME_SECRET", "given")
    assert secret("SOME_SECRET", "default") == "given"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "cannot be read"), (b"", "is empty"), (b"\n", "is empty"), (b"\xff\xfe\x00", "not text in UTF-8")],
)
def test_a_file_that_holds_no_secret(
    content: bytes | None, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("SOME_SECRET_FILE", str(file))
    with pytest.raises(ImproperlyConfigured, match=f"SOME_SECRET_FILE names .*{sentence}"):
        secret("SOME_SECRET")


def test_a_secret_that_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "given")
    monkeypatch.setenv("SOME_SECRET_FILE", "/nowhere")
    with pytest.raises(ImproperlyConfigured, match="Both SOME_SECRET and SOME_SECRET_FILE are set"):
        secret("SOME_SECRET")


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/admin/login/", 200),
        ("/admin/", 302),
        ("/nowhere", 404),
        ("/v1/invoices", 401),
        ("/v1/nothing", 401),
        ("/webhooks/stripe", 405),
        ("/api/docs/", 200),
        ("/api/schema/", 200),
        ("/static/invoices/desk.css", 200),
        ("/static/nothing.js", 404),
    ],
)
def test_every_answer_has_the_headers(client: Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    for name, value in HEADERS.items():
        if name != "Cache-Control":
            assert answer.headers[name] == value
    assert answer.headers[POLICY] == client.get("/nowhere").headers[POLICY]
    if status == 200 and path.startswith("/static/"):
        assert "max-age=" in answer.headers["Cache-Control"]
    else:
        assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.django_db
def test_a_host_that_is_not_ours_is_refused_with_the_headers(client: Client) -> None:
    answer = client.get("/admin/login/", headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert b"evil.example" not in answer.content
    assert set(HEADERS) <= set(answer.headers) and POLICY in answer.headers


@pytest.mark.django_db
def test_the_policy(client: Client) -> None:
    policy = client.get("/nowhere").headers[POLICY]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert "unsafe" not in policy and "http" not in policy and "*" not in policy
    assert directives["default-src"] == directives["script-src"] == directives["form-action"] == "'self'"
    assert directives["frame-ancestors"] == directives["object-src"] == directives["base-uri"] == "'none'"
    style = re.search(r"<style>(.*?)</style>", (HOUSE / "templates/plain.html").read_text(), re.DOTALL)
    assert style
    digest = b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert directives["style-src"] == f"'self' 'sha256-{digest}'"


def test_no_template_of_ours_has_what_the_policy_forbids() -> None:
    forbidden = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=\"|javascript:|hx-on")
    found = [
        str(path.relative_to(HOUSE))
        for path in (HOUSE / "templates").rglob("*.html")
        if forbidden.search(path.read_text())
    ]
    assert found == ["templates/plain.html"]  # its style is in the policy, by its hash


def test_the_files_of_others_are_as_they_were_published() -> None:
    readme = (HOUSE / "third_party/README.md").read_text()
    named = dict(re.findall(r"^\| `([^`]+)` \|.*`([0-9a-f]{64})` \|$", readme, re.MULTILINE))
    there = [path for path in (HOUSE / "third_party").rglob("*") if path.suffix == ".js"]
    assert {str(path.relative_to(HOUSE / "third_party")) for path in there} == set(named)
    for path in there:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == named[str(path.relative_to(HOUSE / "third_party"))]


def test_alpine_is_the_build_that_evaluates_nothing(client: Client) -> None:
    served = b"".join(getattr(client.get("/static/unfold/js/alpine/alpine.js"), "streaming_content"))  # noqa: B009
    assert b"CSP Parser Error" in served
    assert b"AsyncFunction" not in served and b"new Function" not in served


@pytest.mark.django_db
def test_probes_are_not_redirected_to_tls(client: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 60
    fresh = Client()
    assert fresh.get("/readyz").status_code in (200, 503)  # /healthz is answered before Django
    for path in ("/admin/login/", "/v1/invoices", "/healthz/", "/admin/healthz"):
        answer = fresh.get(path)
        assert answer.status_code == 301 and answer["Location"] == f"https://testserver{path}"
    assert "max-age=60" in fresh.get("/readyz", secure=True).headers["Strict-Transport-Security"]


# --- doors ------------------------------------------------------------------------------------------------------------

INSIDE = ("/metrics", "/api/schema/", "/api/docs/")


@pytest.fixture
def closed(settings: Any) -> Any:
    settings.INTERNAL_PAGES_OPEN = False
    settings.METRICS_TOKEN = "the-token-of-prometheus"
    settings.INTERNAL_NETWORKS = networks("INTERNAL_NETWORKS", ["10.1.0.0/16", "fd00::/8"])
    return settings


@pytest.mark.django_db
def test_outsiders_see_status_and_nothing_else(client: Client, closed: Any) -> None:
    for path in INSIDE:
        answer = client.get(path)
        assert answer.status_code == 403 and b"METRICS_TOKEN" in answer.content and len(answer.content) < 300
    assert client.get("/readyz").json() == {"ready": False}
    assert client.get("/readyz", headers={"Authorization": "Bearer the-token-of-prometheus"}).json()["reasons"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("authorization", "address", "inside"),
    [
        ("Bearer the-token-of-prometheus", "203.0.113.9", True),
        ("bearer  the-token-of-prometheus", "203.0.113.9", True),
        ("Bearer the-token-of-prometheu", "203.0.113.9", False),
        ("Basic the-token-of-prometheus", "203.0.113.9", False),
        ("Bearer ", "203.0.113.9", False),
        ("Bearer ü€", "203.0.113.9", False),
        ("", "10.1.2.3", True),
        ("", "::ffff:10.1.2.3", True),
        ("", "fd12::1", True),
        ("", "10.2.2.3", False),
        ("", "", False),
        ("", "unix:", False),
    ],
)
def test_who_is_inside(client: Client, closed: Any, authorization: str, address: str, inside: bool) -> None:
    answer = client.get("/metrics", HTTP_AUTHORIZATION=authorization, REMOTE_ADDR=address)
    assert answer.status_code == (200 if inside else 403)


@pytest.mark.django_db
def test_an_empty_token_opens_nothing(client: Client, closed: Any) -> None:
    closed.METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 403


@pytest.mark.django_db
def test_staff_reads_the_description_of_the_api_and_no_numbers(client: Client, closed: Any, agent: User) -> None:
    client.force_login(agent)
    assert [client.get(path).status_code for path in INSIDE] == [403, 200, 200]
    agent.is_staff = False
    agent.save()
    assert [client.get(path).status_code for path in INSIDE] == [403, 403, 403]


# --- attacks ----------------------------------------------------------------------------------------------------------


def sign_in(client: Client, next_page: str = "") -> Any:
    return client.post(
        f"/admin/login/?next={next_page}",
        {"username": "agent", "password": "a long enough password", "next": next_page},
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "https:evil.example",
        "/%0d%0aX: 1",
    ],
)
def test_signing_in_leads_to_no_other_site(client: Client, agent: User, elsewhere: str) -> None:
    answer = sign_in(client, elsewhere)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/") and "evil" not in answer["Location"] and "X" not in answer.headers


@pytest.mark.django_db
def test_a_session_from_before_the_sign_in_is_of_no_use(client: Client, agent: User) -> None:
    client.cookies[loaded.SESSION_COOKIE_NAME] = "thesessionthatathiefprepared0000"
    sign_in(client)
    cookie = client.cookies[loaded.SESSION_COOKIE_NAME]
    assert cookie.value != "thesessionthatathiefprepared0000"
    assert cookie["httponly"] and cookie["samesite"] == "Lax"
    thief = Client()
    thief.cookies[loaded.SESSION_COOKIE_NAME] = "thesessionthatathiefprepared0000"
    assert thief.get("/admin/").status_code == 302


@pytest.mark.django_db
def test_a_form_sets_no_more_than_its_fields(client: Client, agent: User, manager: User) -> None:
    """What a thief adds to a form: another user for a token, the status of a superuser, a hash of his own."""
    client.force_login(agent)
    superuser = {"is_superuser": "on", "is_staff": "on", "is_active": "on", "username": "agent"}
    for path in (f"/admin/auth/user/{agent.pk}/change/", "/admin/auth/user/add/", "/admin/auth/group/add/"):
        assert client.post(path, superuser).status_code == 403
    client.post(
        "/admin/password_change/",
        {"old_password": "a long enough password", "new_password1": "x", "new_password2": "x", **superuser},
    )
    agent.refresh_from_db()
    assert not agent.is_superuser
    client.force_login(manager)
    other = user_in_group("other", "Billing manager")
    client.post(
        "/admin/invoices/apitoken/add/",
        {
            "name": "mine",
            "user": str(other.pk),
            "created_by": str(other.pk),
            "digest": "0" * 128,
            "expiry": "2099-01-01",
        },
    )
    assert not ApiToken.objects.filter(user=other).exists()
    assert not ApiToken.objects.filter(digest="0" * 128).exists()


@pytest.mark.django_db
def test_nobody_frames_a_page_or_posts_from_another_site(agent: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(agent)
    answer = client.post("/admin/logout/", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert client.get("/admin/").headers["X-Frame-Options"] == "DENY"


@pytest.mark.django_db
def test_a_header_takes_no_line_break(client: Client) -> None:
    answer = client.get("/nowhere", headers={"X-Request-ID": "abcdefgh\r\nSet-Cookie: a=b"})
    assert "Set-Cookie" not in answer.headers and answer["X-Request-ID"].startswith("req_")


def test_messages_are_not_kept_in_a_cookie() -> None:
    assert "session" in loaded.MESSAGE_STORAGE

"""deploy/: what is written there fits the settings and the README, and the commands start from what the image holds."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.commands import database_url
from tests.sandbox_process import ROOT

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = ("migrate", "web", "worker", "refetch-worker", "beat")
UNITS = {name: (DEPLOY / f"systemd/desk-{name}.service").read_text() for name in OURS}
MANIFESTS: list[dict[str, Any]] = [
    manifest
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text())
    if manifest["kind"] != "Kustomization"
]
PODS: dict[str, dict[str, Any]] = {
    manifest["metadata"]["name"]: manifest["spec"]["template"]["spec"]
    for manifest in MANIFESTS
    if manifest["kind"] in ("Deployment", "Job")
}
WEB: list[str] = ast.literal_eval(re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[1])  # type: ignore[index]
CAPTURED: Any = {"capture_output": True, "text": True}


def kind(name: str) -> list[dict[str, Any]]:
    return [manifest for manifest in MANIFESTS if manifest["kind"] == name]


def pod_containers() -> list[dict[str, Any]]:
    return [one for pod in PODS.values() for one in (*pod.get("initContainers", ()), *pod["containers"])]


# --- commands ---------------------------------------------------------------------------------------------------------


def of_compose(name: str) -> list[str]:
    return COMPOSE["services"][name].get("command", WEB)


def of_kubernetes(name: str) -> list[str]:
    return PODS[name]["containers"][0].get("args", WEB)


def of_systemd(name: str) -> list[str]:
    line = re.search(r"^ExecStart=(.*)$", UNITS[name], re.MULTILINE)
    assert line is not None
    words = shlex.split(line[1].replace("%%", "%"))
    assert words[0].startswith("/opt/desk/.venv/bin/")
    return [Path(words[0]).name, *words[1:]]


@pytest.mark.parametrize("name", OURS)
def test_a_process_has_the_same_command_everywhere(name: str) -> None:
    assert of_compose(name) == of_kubernetes(name) == of_systemd(name)


def test_the_commands_are_those_of_the_readme() -> None:
    step = (ROOT / "README.md").read_text().partition("The processes.**")[2].partition("\n## ")[0]
    whole = re.sub(r" \\\n +", " ", step)
    lines = re.findall(r"^    \.venv/bin/((?:granian|celery) .*)$", whole, re.MULTILINE)
    of_readme = [shlex.split(line.partition("  #")[0]) for line in lines]
    for name in ("web", "worker", "beat"):
        command = of_compose(name)
        if "--queues" in command:  # which the README leaves out, so that one worker serves both queues
            command = command[: command.index("--queues")]
        assert command in of_readme, f"{name}: {shlex.join(command)} is not in the README"


def test_the_two_workers_serve_every_queue_between_them(settings: Any) -> None:
    served = [of_compose(name)[of_compose(name).index("--queues") + 1] for name in ("worker", "refetch-worker")]
    assert sorted(served) == sorted(queue.name for queue in settings.CELERY_TASK_QUEUES)


# --- settings ---------------------------------------------------------------------------------------------------------

NOT_READ_BY_SETTINGS = {
    "PROMETHEUS_MULTIPROC_DIR",
    "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE",
}


def variables() -> set[str]:
    """Every variable that is set anywhere below deploy/ for a process of ours."""
    found = {name for one in OURS for name in COMPOSE["services"][one]["environment"]}
    found |= set(kind("ConfigMap")[0]["data"])
    found |= {variable["name"] for one in pod_containers() for variable in one.get("env", ())}
    for unit in UNITS.values():
        for line in re.findall(r"^Environment=(.*)$", unit, re.MULTILINE):
            found |= {word.partition("=")[0] for word in shlex.split(line)}
    example = (DEPLOY / "systemd/environment.example").read_text()
    return found | set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))


def test_every_variable_is_one_that_the_settings_read() -> None:
    code = "".join(path.read_text() for path in (ROOT / "backoffice").glob("*.py"))
    names = {name.removesuffix("_FILE") for name in variables()} - NOT_READ_BY_SETTINGS
    assert {name for name in names if f'"{name}"' not in code} == set()


SECRET = re.compile(r"SECRET|PASSWORD|DATABASE_URL|BROKER_URL|TOKEN|KEY")


def test_secrets_come_from_files_alone() -> None:
    assert {name for name in variables() if SECRET.search(name) and not name.endswith("_FILE")} == set()
    assert not re.search(r"sk_(live|test)|rk_(live|test)|whsec_", "".join(path.read_text() for path in files()))


def test_every_secret_file_is_mounted_where_its_variable_says() -> None:
    for name in OURS:
        service = COMPOSE["services"][name]
        named = {path for variable, path in service["environment"].items() if variable.endswith("_FILE")}
        given = [{"source": each, "target": each} if isinstance(each, str) else each for each in service["secrets"]]
        assert named == {f"/run/secrets/{secret['target']}" for secret in given}
        assert {secret["source"] for secret in given} <= set(COMPOSE["secrets"])
    for unit in UNITS.values():
        loaded = set(re.findall(r"^LoadCredential=(\w+):", unit, re.MULTILINE))
        assert loaded == set(re.findall(r"_FILE=%d/(\w+)", unit)) and len(loaded) == 5


def test_only_migrate_has_the_address_of_the_tables_owner() -> None:
    owners = {name for name in OURS if "database_url_owner" in str(COMPOSE["services"][name]["secrets"])}
    assert owners == {name for name in OURS if "database_url_owner" in UNITS[name]} == {"migrate"}
    assert {name for name, pod in PODS.items() if "desk-owner" in str(pod)} == {"migrate"}


def files() -> list[Path]:
    return [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix in ("", ".yaml", ".service", ".conf")]


# --- rights, limits, probes -------------------------------------------------------------------------------------------


def test_images_are_pinned() -> None:
    images = [service["image"] for service in COMPOSE["services"].values()]
    images += re.findall(r"^ARG PYTHON_IMAGE=(.*)$", DOCKERFILE, re.MULTILINE)
    for image in images:
        assert re.search(r":(\d+\.\d+\.\d+|\d+\.\d+)-\w+|\$\{DESK_IMAGE:-invoice-desk:1\}", image), image
    assert {line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")} == {"${PYTHON_IMAGE}"}


def test_the_image_has_no_more_than_it_needs() -> None:
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert "HEALTHCHECK" in DOCKERFILE and "--require-hashes" in DOCKERFILE
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]
    }
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} == {line for line in ignored if line.startswith("!")} and "*" in ignored


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_container_of_compose_has_few_rights_and_limits(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["user"].split(":")[0] not in ("0", "root")
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["mem_limit"] and service["cpus"] and "healthcheck" in service
    assert int(service["stop_grace_period"].removesuffix("s")) >= 30
    if name in OURS and name != "migrate":
        assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_few_rights_and_limits(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]
    assert pod["automountServiceAccountToken"] is False
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] and rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]["cpu"]
    if name != "migrate":
        assert "migrate --check" in pod["initContainers"][0]["command"][-1]
        assert pod["terminationGracePeriodSeconds"] >= 30


def test_kubernetes_asks_the_web_pods_and_disturbs_few_at_once() -> None:
    web = PODS["web"]["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert web[probe]["httpGet"]["path"] == "/healthz"
    allowed = kind("ConfigMap")[0]["data"]["DJANGO_ALLOWED_HOSTS"]
    assert web["livenessProbe"]["httpGet"]["httpHeaders"] == [{"name": "Host", "value": allowed}]
    deployments = {one["metadata"]["name"]: one["spec"] for one in kind("Deployment")}
    budgets = {one["spec"]["selector"]["matchLabels"]["app"] for one in kind("PodDisruptionBudget")}
    assert budgets == set(deployments) == set(OURS) - {"migrate"}
    assert deployments["beat"]["replicas"] == 1 and deployments["beat"]["strategy"] == {"type": "Recreate"}
    assert {"nothing-by-default", "to-web"} <= {one["metadata"]["name"] for one in kind("NetworkPolicy")}


def test_kustomize_lists_every_manifest() -> None:
    listed = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())["resources"]
    assert sorted([*listed, "kustomization.yaml"]) == sorted(path.name for path in (DEPLOY / "kubernetes").iterdir())
    if shutil.which("kubectl") is None:
        return
    made = subprocess.run(["kubectl", "kustomize", str(DEPLOY / "kubernetes")], check=False, **CAPTURED)
    assert made.returncode == 0, made.stderr
    assert "image: invoice-desk\n" not in made.stdout


@pytest.mark.parametrize("name", OURS)
def test_a_unit_is_hardened(name: str) -> None:
    for line in (
        "User=desk",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "PrivateTmp=yes",
    ):
        assert f"\n{line}\n" in UNITS[name]
    if name != "migrate":
        assert "Requires=desk-migrate.service" in UNITS[name] and "Restart=always" in UNITS[name]
        assert int(re.search(r"TimeoutStopSec=(\d+)", UNITS[name])[1]) >= 30  # type: ignore[index]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="NOT CHECKED HERE: there is no systemd-analyze")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for path in (DEPLOY / "systemd").glob("desk*"):
        text = path.read_text().replace("/opt/desk/.venv/bin/", "/bin/echo ")
        (tmp_path / path.name).write_text(text)
    units = [str(path) for path in sorted(tmp_path.iterdir())]
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], check=False, **CAPTURED)
    assert "desk" not in checked.stderr, checked.stderr


# --- the commands, from what the image holds --------------------------------------------------------------------------


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """What the Dockerfile copies, and nothing else."""
    folder = tmp_path / "app"
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        name = line.split()[0]
        target = folder / Path(name).name
        target.parent.mkdir(exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    return folder


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def started(command: list[str], folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("STRIPE_", "COV_", "DJANGO_"))},
        "DATABASE_URL": database_url(),
        "DATA_DIR": str(folder.parent / "data"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command] if command[0] != "python" else [sys.executable, *command[1:]],
            cwd=folder,
            env=env,
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            finally:
                process.kill()


def wait_until(true: Any, log: Path, what: str) -> None:
    until = time.monotonic() + 90
    while not true():
        assert time.monotonic() < until, f"{what}: {log.read_text()[-2000:]}"
        time.sleep(0.2)


@pytest.mark.django_db(transaction=True)
def test_the_commands_start_and_end_on_sigterm(image: Path, tmp_path: Path) -> None:
    """Web, both workers and beat, with the words of compose.yaml; only the port is another one."""
    port, logs = free_port(), tmp_path / "logs"
    logs.mkdir()
    before = sorted(path.relative_to(image) for path in image.rglob("*"))
    commands = {name: of_compose(name) for name in OURS if name != "migrate"}
    commands["web"] = [str(port) if word == "8000" else "127.0.0.1" if word == "0.0.0.0" else word for word in WEB]
    signs = {"worker": "celery@", "refetch-worker": "refetches@", "beat": "This beat sends from now on."}
    health = [sys.executable, str(image / "healthcheck.py"), str(port)]
    running = {}
    with ExitStack() as all_of_them:
        for name, command in commands.items():
            running[name] = all_of_them.enter_context(started(command, image, logs / name))
        wait_until(lambda: subprocess.run(health, check=False).returncode == 0, logs / "web", "healthcheck.py")
        for name, sign in signs.items():
            wait_until(lambda sign=sign, name=name: sign in (logs / name).read_text(), logs / name, name)
            assert running[name].poll() is None
    assert running["beat"].returncode == 0
    assert subprocess.run(health, check=False).returncode == 1
    assert sorted(path.relative_to(image) for path in image.rglob("*")) == before  # the root can be read-only


# --- proxies ----------------------------------------------------------------------------------------------------------


class Upstream:
    """Stands for the desk: notes the head of each request when its first byte comes, and the body."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heads: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection = self.listener.accept()[0]
                threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            received = b""
            while b"\r\n\r\n" not in received:
                more = connection.recv(65536)
                if not more:
                    return
                received += more
            self.heads.append(received.partition(b"\r\n\r\n")[0].decode())
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    one = Upstream()
    yield one
    one.listener.close()


@contextmanager
def nginx(upstream: Upstream, folder: Path) -> Iterator[int]:
    plain, port = free_port(), free_port()
    subject = [
        "-subj",
        "/CN=desk.example.com",
        "-keyout",
        str(folder / "key.pem"),
        "-out",
        str(folder / "fullchain.pem"),
    ]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject], check=True, capture_output=True
    )
    text = (DEPLOY / "nginx/desk.conf").read_text().replace("127.0.0.1:8000", f"127.0.0.1:{upstream.port}")
    text = text.replace("/etc/ssl/desk/", f"{folder}/").replace("listen 80;", f"listen 127.0.0.1:{plain};")
    text = re.sub(r"listen \[::\].*", "", text).replace("listen 443 ", f"listen 127.0.0.1:{port} ")
    temporary = "".join(
        f"{one}_temp_path {folder}/{one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "desk.conf").write_text(text)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}} "
        f"http {{ access_log off; {temporary} include {folder}/desk.conf; }}"
    )
    given = ["nginx", "-e", f"{folder}/start.log", "-c", f"{folder}/nginx.conf"]
    tested = subprocess.run([*given, "-t"], check=False, **CAPTURED)
    assert tested.returncode == 0, tested.stderr
    with running(given, port):
        yield port


@contextmanager
def caddy(upstream: Upstream, folder: Path) -> Iterator[int]:
    port = free_port()
    text = (DEPLOY / "caddy/Caddyfile").read_text().replace("127.0.0.1:8000", f"127.0.0.1:{upstream.port}")
    options = f"\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n\thttps_port {port}\n\tservers {{"
    text = text.replace("\tservers {", options, 1)
    text = text.replace("\ndesk.example.com {", "\ndesk.example.com {\n\ttls internal\n\tbind 127.0.0.1", 1)
    (folder / "Caddyfile").write_text(text)
    given = ["--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    env = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    original = ["--adapter", "caddyfile", "--config", str(DEPLOY / "caddy/Caddyfile")]
    for words in (original, given):
        tested = subprocess.run(["caddy", "validate", *words], check=False, **CAPTURED, env=env)
        assert tested.returncode == 0, tested.stderr
    with running(["caddy", "run", *given], port, env):
        yield port


@contextmanager
def running(command: list[str], port: int, env: dict[str, str] | None = None) -> Iterator[None]:
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                tls(port).close()
                break
            except OSError:
                assert time.monotonic() < until and process.poll() is None
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


def tls(port: int) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port), timeout=30)
    return context.wrap_socket(plain, server_hostname="desk.example.com")


PROXIES = [
    pytest.param(
        proxy,
        marks=pytest.mark.skipif(shutil.which(proxy.__name__) is None, reason=f"NOT CHECKED HERE: no {proxy.__name__}"),
    )
    for proxy in (nginx, caddy)
]


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxy_says_who_the_client_is_and_passes_on_whole_requests(
    proxy: Any, upstream: Upstream, tmp_path: Path
) -> None:
    with proxy(upstream, tmp_path) as port:
        forged = (
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: evil.example\r\n"
            "X_Forwarded_For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Request-ID: forged-by-the-client\r\n"
        )
        start = f"POST /webhooks/stripe HTTP/1.1\r\nHost: desk.example.com\r\n{forged}Content-Length: 10\r\n\r\n12345"
        with tls(port) as slow:
            slow.sendall(start.encode())
            with tls(port) as other:  # it is answered while the slow one is not finished
                other.sendall(b"GET /healthz HTTP/1.1\r\nHost: desk.example.com\r\nConnection: close\r\n\r\n")
                assert b" 200 " in other.recv(100)
            assert len(upstream.heads) == 1  # nothing of the slow one has come
            slow.sendall(b"67890")
            assert b" 200 " in slow.recv(100)
        head = upstream.heads[1].lower()
        assert "6.6.6.6" not in head and "evil.example" not in head and "forged" not in head
        assert "\nx-forwarded-for: 127.0.0.1\r" in f"{head}\r" and "\nx-forwarded-proto: https\r" in f"{head}\r"
        assert "\nhost: desk.example.com" in head and "\nx-request-id: " in head
        if proxy is nginx:  # Caddy 2.6 may leave that to the desk
            with tls(port) as large:
                large.sendall(b"POST / HTTP/1.1\r\nHost: desk.example.com\r\nContent-Length: 3000000\r\n\r\n")
                assert b" 413 " in large.recv(100)
            assert len(upstream.heads) == 2

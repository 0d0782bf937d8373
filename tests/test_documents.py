"""The documents name only what is there: files, functions, commands, make targets, variables, periods, members."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

from invoices import sync, thresholds
from invoices.api.actions import WITHOUT_CODE
from invoices.models import Code
from invoices.operations.action import Action, Call

HOUSE = Path(__file__).resolve().parent.parent
AT_THE_TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
DOCUMENTS = [*(HOUSE / name for name in AT_THE_TOP), *sorted((HOUSE / "docs").rglob("*.md"))]
# The changelog also names commands that were renamed.
WITH_COMMANDS = [document for document in DOCUMENTS if document.name != "CHANGELOG.md"]
DJANGOS = {"migrate", "createsuperuser", "collectstatic", "shell", "check", "makemigrations", "sendtestemail"}
FOLDERS = ("invoices/", "backoffice/", "sandbox/", "tests/", "templates/", "benchmarks/", "docs/", "deploy/", ".ci/")


def _named(document: Path) -> str:
    return document.relative_to(HOUSE).as_posix()


def _quoted_paths(text: str) -> Iterator[str]:
    """Paths of the project in backticks; `a/{b,c}.py` is two of them."""
    for quoted in re.findall(r"`([\w.][\w./{},-]*)`", text):
        if quoted.startswith(FOLDERS):
            yield from _expanded(quoted)


def _expanded(path: str) -> list[str]:
    braces = re.search(r"\{([^}]*)\}", path)
    if not braces:
        return [path]
    choices = braces[1].split(",")
    return [one for choice in choices for one in _expanded(path[: braces.start()] + choice + path[braces.end() :])]


def _wrong_paths(document: Path) -> Iterator[str]:
    text = document.read_text()
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text):
        if not (document.parent / target).exists():
            yield target
    for path in _quoted_paths(text):
        if not (HOUSE / path).exists():
            yield path


def test_the_files_exist():
    assert {_named(one): wrong for one in DOCUMENTS if (wrong := list(_wrong_paths(one)))} == {}


def test_anchors_lead_to_a_heading():
    wrong = []
    for document in DOCUMENTS:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", document.read_text()):
            linked = document.parent / target if target else document
            if anchor not in _anchors(linked.read_text()):
                wrong.append(f"{_named(document)}: {target}#{anchor}")
    assert wrong == []


def _anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_function_or_constant_that_follows_a_file_is_in_that_file():
    wrong = []
    for document in DOCUMENTS:
        for path, name in re.findall(r"`([\w.]+/[\w./]+\.\w+)`, `(\w+)`", document.read_text()):
            if path.startswith(FOLDERS) and not re.search(rf"\b{name}\b", (HOUSE / path).read_text()):
                wrong.append(f"{_named(document)}: {path}, {name}")
    assert wrong == []


def _wrong_commands(document: Path) -> Iterator[str]:
    text = document.read_text()
    for command in sorted(set(re.findall(r"manage\.py\s+([a-z_]+)", text)) - DJANGOS):
        if not (HOUSE / f"invoices/management/commands/{command}.py").exists():
            yield f"manage.py {command}"
    makefile = (HOUSE / "Makefile").read_text()
    for target in re.findall(r"(?:`|^    )make ([a-z-]+)", text, re.MULTILINE):
        if not re.search(rf"^{target}:", makefile, re.MULTILINE):
            yield f"make {target}"


def test_the_commands_exist():
    assert {_named(one): wrong for one in WITH_COMMANDS if (wrong := list(_wrong_commands(one)))} == {}


def test_every_command_is_in_the_operating_manual():
    operating = (HOUSE / "docs/operating.md").read_text()
    commands = [path.stem for path in (HOUSE / "invoices/management/commands").glob("*.py") if path.stem != "__init__"]
    assert commands
    assert [command for command in commands if f"manage.py {command}" not in operating] == []


def test_the_variables_are_those_that_the_settings_read():
    read = set(
        re.findall(
            r"(?:env\.\w+|secret|secrets_list)\(\s*\"([A-Z_]+)\"", (HOUSE / "backoffice/settings.py").read_text()
        )
    )
    table = _section((HOUSE / "docs/operating.md").read_text(), "## The environment")
    first_cells = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    documented = {name for cell in first_cells for name in re.findall(r"`([A-Z_]+)`", cell)}
    assert documented == read


def _section(text: str, heading: str) -> str:
    return text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]


UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "day": "days", "days": "days"}


def test_the_periods_are_those_of_the_code():
    table = _section((HOUSE / "docs/operating.md").read_text(), "## Periods")
    documented = {
        name: timedelta(**{UNITS[unit]: int(number)})
        for name, number, unit in re.findall(r"^\| `([A-Z_]+)` \| (\d+) (\w+) \|", table, re.MULTILINE)
    }
    periods = {name: value for name, value in vars(thresholds).items() if isinstance(value, timedelta)}
    assert documented == periods


def test_the_layers_are_those_of_the_contract():
    contracts = tomllib.loads((HOUSE / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    of_invoices = next(one for one in contracts if one["type"] == "layers" and "invoices.models" in one["layers"])
    layers = [set(line.replace("invoices.", "").split(" | ")) for line in of_invoices["layers"]]
    section = _section((HOUSE / "docs/architecture.md").read_text(), "## Who may import whom")
    picture = section.split("```")[1].partition("\n\n")[0]
    drawn = [set(re.findall(r"\w+", line)) for line in picture.strip("\n").splitlines() if "---" not in line]
    assert drawn == layers


def test_every_code_that_the_api_answers_is_explained():
    told = {str(code) for code in Code} - WITHOUT_CODE - {"resource_missing"}  # Stripe's own
    explained = set(re.findall(r"`(\w+)`", (HOUSE / "docs/api.md").read_text()))
    assert told - explained == set()


# --- CONTRIBUTING.md, "Add an action" ---------------------------------------------------------------------------------

CONTRIBUTING = (HOUSE / "CONTRIBUTING.md").read_text()
DERIVED = {"label_and_term", "with_amounts", "codename", "permission", "clean"}  # an action does not say these itself


def test_every_member_of_an_action_is_explained():
    said = {*Action.__annotations__, *vars(Action)}
    members = {name for name in said if not name.startswith("_")} - DERIVED
    explained = _section(CONTRIBUTING, "## Add an action").partition("### What each member says")[2]
    of_action, _, of_call = explained.partition("Of `Call`:")
    assert set(re.findall(r"^\| `(\w+)` \|", of_action, re.MULTILINE)) == members
    assert set(re.findall(r"^\| `(\w+)` \|", of_call, re.MULTILINE)) == {field.name for field in fields(Call)}


def test_the_worked_example_is_the_one_that_is_tested():
    code = re.search(r"```python\n(.*?)```", _section(CONTRIBUTING, "## Add an action"), re.DOTALL)
    assert code is not None
    assert code[1] == (HOUSE / "tests/new_action/update_due_date.py").read_text()


def test_the_size_of_a_batch_of_events_is_that_of_the_code() -> None:
    row = f"| events that are stored in one transaction | {sync.EVENTS_PER_BATCH} |"
    assert row in (HOUSE / "docs/operating.md").read_text()

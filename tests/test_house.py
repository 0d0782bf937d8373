"""The rules of the house, read from the code itself: who writes the mirror, who knows Stripe, what no file holds."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import transaction

from invoices import gateway
from invoices.models import MIRRORED

HOUSE = Path(__file__).resolve().parent.parent
CODE = ["backoffice", "invoices", "sandbox"]
MODELS = {model.__name__ for model in MIRRORED.values()} | {"MIRRORED"}
MANAGERS = {"invoices", "payments"}  # what leads from one mirrored row to others
WRITES = {"save", "create", "get_or_create", "update", "update_or_create", "delete", "bulk_create", "bulk_update"}


def modules(*folders: str) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in (HOUSE / folder).rglob("*.py")
        if "migrations" not in path.parts and path.read_text().strip()
    )


def relative(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


# --- only the mirror writes the mirror --------------------------------------------------------------------------------


def writes_to_mirror(source: str) -> Iterator[str]:
    """Where this module writes a mirrored row or table: `line: call`, as far as the syntax tree tells."""
    tree = ast.parse(source)
    rows: set[str] = set()
    while True:  # names come from names: until no new one is found
        found = {name for node in ast.walk(tree) for name in _named(node, rows)}
        if found <= rows:
            break
        rows |= found
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr.removeprefix("a")
            if (name in WRITES or node.func.attr in WRITES) and _is_mirrored(node.func.value, rows):
                yield f"{node.lineno}: {ast.unparse(node.func)}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for model in MIRRORED.values():
                if re.search(rf"(?i)\b(insert into|update|delete from)\s+\W?{model._meta.db_table}\b", node.value):
                    yield f"{node.lineno}: SQL on {model._meta.db_table}"


def _named(node: ast.AST, rows: set[str]) -> Iterator[str]:
    """The names that hold mirrored rows or queries of them after this node."""
    match node:
        case ast.Assign(targets=targets, value=value) if _is_mirrored(value, rows):
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        case ast.For(target=ast.Name(id=name), iter=iterated) if _is_mirrored(iterated, rows):
            yield name
        case ast.NamedExpr(target=ast.Name(id=name), value=value) if _is_mirrored(value, rows):
            yield name
        case ast.arg(arg=name, annotation=annotation) | ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
            if annotation and {found.id for found in ast.walk(annotation) if isinstance(found, ast.Name)} & MODELS:
                yield name


# What does not give back our rows, though it begins as they do; `v1` is the SDK's `client.v1.invoices`.
PLAIN = {
    "v1",
    "columns",
    "rank",
    "count",
    "exists",
    "aggregate",
    "values",
    "values_list",
    "in_bulk",
    "get_or_404",
    "keys",
}


def _is_mirrored(node: ast.AST, rows: set[str]) -> bool:
    """Whether a chain such as `Invoice.objects.filter(…)[0]` or `run.customer.invoices.all()` leads to the mirror."""
    through_manager = False
    while True:
        match node:
            case ast.Name(id=name):
                return through_manager or name in MODELS or name in rows
            case ast.Attribute(value=inner, attr=attribute):
                if attribute in PLAIN or attribute.startswith("_"):
                    return False
                through_manager |= attribute in MANAGERS and not isinstance(inner, ast.Name)
                node = inner
            case ast.Call(func=ast.Attribute() as function):
                node = function
            case ast.Call(func=ast.Name(id=name)):
                return name in MODELS
            case ast.Subscript(value=inner):
                node = inner
            case _:
                return False


def test_only_the_mirror_writes_the_mirror():
    found = {relative(path): list(writes_to_mirror(path.read_text())) for path in modules(*CODE, "benchmarks")}
    assert found.pop("invoices/mirror.py")
    assert {path: writes for path, writes in found.items() if writes} == {}


def test_tests_store_through_the_mirror_and_only_spoil_or_remove_what_it_stored():
    found = {relative(path): list(writes_to_mirror(path.read_text())) for path in modules("tests")}
    found.pop("tests/test_house.py")  # it holds the examples below
    # They fill the tables by SQL, with as many rows as a plan needs, quote the statements of the mirror, or see that a
    # change past the mirror is recorded all the same.
    for each in (
        "tests/test_lists.py",
        "tests/helpers/many_rows.py",
        "tests/helpers/work_rows.py",
        "tests/test_many_rows.py",
        "tests/test_changes.py",
    ):
        found.pop(each)
    found.pop("tests/test_upgrade.py")  # it writes rows as the version before wrote them, into a database of its own
    made = {
        path: [write for write in writes if not write.endswith((".update", ".delete"))]
        for path, writes in found.items()
    }
    assert {path: writes for path, writes in made.items() if writes} == {}


@pytest.mark.parametrize(
    "code",
    [
        "Invoice.objects.create(id='in_1')",
        "Invoice.rows.filter(pk='in_1').update(status='paid')",
        "Customer.objects.bulk_create([])",
        "found = Invoice.objects.get(pk=1)\nfound.save()",
        "for row in Invoice.objects.all():\n    row.delete()",
        "def f(invoice: Invoice | None):\n    invoice.save(update_fields=['status'])",
        "if (found := PaymentIntent.objects.first()):\n    found.delete()",
        "MIRRORED['invoice'].objects.all().delete()",
        "Invoice(id='in_1').save()",
        "cursor.execute('UPDATE invoices_invoice SET status = 1')",
        "async def f():\n    await Invoice.objects.acreate(id='in_1')",
    ],
)
def test_the_search_for_writers_finds_them(code):
    assert list(writes_to_mirror(code))


# --- who knows whom ---------------------------------------------------------------------------------------------------


def imports(path: Path) -> set[str]:
    """The first names of all that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_only_the_gateway_imports_stripe():
    assert [relative(path) for path in modules(*CODE) if "stripe" in imports(path)] == ["invoices/gateway.py"]


def test_the_sandbox_stands_alone():
    strangers = {"django", "rest_framework", "celery", "stripe", "invoices", "backoffice"}
    assert {relative(path): found for path in modules("sandbox") if (found := imports(path) & strangers)} == {}
    ours = modules("backoffice", "invoices")
    assert [relative(path) for path in ours if "sandbox" in imports(path)] == []


def imported_modules(path: Path) -> set[str]:
    """The full names of all that a module imports, wherever in it; `from a import b` gives `a` and `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.relative_to(HOUSE).with_suffix("").parts[: -node.level]) if node.level else ""
            module = ".".join(filter(None, [package, node.module]))
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def test_no_test_module_is_imported_by_another():
    """What two test modules need stands in a helper module, such as those in tests/helpers."""
    paths = modules("tests", "benchmarks")
    tests = {path.relative_to(HOUSE).with_suffix("").as_posix().replace("/", ".") for path in paths if is_test(path)}
    assert len(tests) > 50
    assert {relative(path): found for path in paths if (found := imported_modules(path) & tests)} == {}


def is_test(path: Path) -> bool:
    return path.name == "conftest.py" or path.name.startswith("test_")


@pytest.mark.django_db
def test_stripe_is_never_called_inside_a_transaction():
    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        gateway.read("/v1/invoices")
    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        gateway.act("/v1/invoices/in_1/pay", {}, idempotency_key="key")


# --- what every file says, and what none does -------------------------------------------------------------------------


def test_every_module_says_first_what_it_is_for():
    all_of_them = modules(*CODE, "tests", "benchmarks")
    assert [relative(path) for path in all_of_them if not ast.get_docstring(ast.parse(path.read_text()))] == []


SECRETS = {
    "a live key of Stripe": r"\b[sr]k_" + r"live_[0-9A-Za-z]{20,}",
    "a test key of Stripe": r"\b[sr]k_" + r"test_(?=[A-Za-z]*[0-9])[0-9A-Za-z]{20,}",
    "a webhook secret": r"\bwhsec_" + r"(?=[A-Za-z]*[0-9])[0-9A-Za-z]{20,}",
    "a private key": r"-----BEGIN [A-Z ]*" + r"PRIVATE KEY-----",
    "a key of AWS": r"\bAKIA" + r"[0-9A-Z]{16}\b",
    "a token of GitHub": r"\bgh[pousr]_" + r"[0-9A-Za-z]{30,}",
    "a home folder": r"(?<![\w.])/(root|home/\w+|Users/\w+)/",
    "a folder of one machine": r"(?<![\w.])/work" + r"/\w+",
    "the address of a package index": r"--(extra-)?index" + r"-url|--find" + r"-links",
}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=HOUSE, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: what is tracked is not known")
    return [HOUSE / name for name in listed.stdout.split("\0") if name and (HOUSE / name).is_file()]


def test_no_tracked_file_holds_a_secret_or_the_path_of_a_machine():
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # a picture
        found += [f"{relative(path)}: {what}" for what, pattern in SECRETS.items() if re.search(pattern, text)]
    assert found == []

"""A database of its own on the PostgreSQL server of the tests, with an owner and a runtime role, as in production."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from tests.sandbox_process import ROOT


@dataclass
class OwnDatabase:
    """Names and addresses. The roles' passwords are made for each."""

    settings: dict[str, Any]  # Django's, of the tests' server
    name: str = field(default_factory=lambda: f"desk_{uuid.uuid4().hex[:12]}")
    password: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def owner(self) -> str:
        return f"{self.name}_owner"

    @property
    def runtime(self) -> str:
        return f"{self.name}_runtime"

    def url(self, role: str) -> str:
        host, port = self.settings["HOST"] or "127.0.0.1", self.settings["PORT"] or 5432
        return f"postgresql://{role}:{self.password}@{quote(host, safe='')}:{port}/{self.name}"

    def manage(self, role: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`manage.py …` as this role; it may fail."""
        return run(["manage.py", *words], ROOT, DATABASE_URL=self.url(role), **environment)


def run(words: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python …` in this folder, with these variables and none of the tests'."""
    env = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "DATA_DIR": os.environ["DATA_DIR"],
        "CELERY_BROKER_URL": "memory://",
        "DJANGO_SECRET_KEY": "for one test only, and for nothing else",
        **environment,
    }
    return subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, check=False)


def administrator(settings: dict[str, Any], database: str = "postgres") -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=settings["HOST"] or None,
        port=settings["PORT"] or None,
        user=settings["USER"] or None,
        password=settings["PASSWORD"] or None,
        dbname=database,
        autocommit=True,
    )


@contextmanager
def own_database(settings: dict[str, Any]) -> Iterator[OwnDatabase]:
    """Empty, and gone afterwards, with its roles."""
    made = OwnDatabase(settings)
    owner, runtime, name = (sql.Identifier(each) for each in (made.owner, made.runtime, made.name))
    with administrator(settings) as admin:
        for role in (owner, runtime):
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(made.password)))
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
        try:
            with administrator(settings, made.name) as inside:  # as PostgreSQL 15 and later do by themselves
                inside.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(owner))
            yield made
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
            for role in (owner, runtime):
                admin.execute(sql.SQL("DROP ROLE {}").format(role))

"""python tests/helpers/writer.py SEED TRANSACTIONS: writes to the mirror, some objects in each transaction, and gives
some transactions up. For tests that run several at the same time, and kill some."""

from __future__ import annotations

import os
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")
OBJECTS = 12  # so few that the writers meet


class GivenUp(Exception):
    """The transaction is rolled back."""


def main(seed: str, transactions: int) -> None:
    import django

    django.setup()

    from django.db import OperationalError, transaction

    from invoices import mirror
    from invoices.snapshot import ReadTime, of_read

    chance = random.Random(seed)
    print("writes", flush=True)
    for _ in range(transactions):
        try:
            with transaction.atomic():
                for _ in range(chance.randint(1, 3)):
                    now = datetime.now(UTC)
                    told: list[dict[str, Any]] = [
                        {
                            "object": kind,
                            "id": f"{kind}_{chance.randrange(OBJECTS)}",
                            "metadata": {seed: str(chance.random())},
                        }
                        for kind in chance.choices(["customer", "invoice", "payment_intent"], k=chance.randint(1, 4))
                    ]
                    mirror.store([of_read(each["object"], each["id"], each, ReadTime(now, 0, now)) for each in told])
                    time.sleep(chance.random() / 50)
                if chance.random() < 0.2:
                    raise GivenUp
        except GivenUp:
            pass
        except OperationalError as error:  # two writers met in an order of their own: one of them is refused
            print(error, file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""python tests/helpers/store_for_ever.py SEED SECONDS: writes to the mirror, many objects in each transaction, some of
which it gives up. For tests that run several at the same time, and kill some."""

from __future__ import annotations

import os
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")
OBJECTS = 12  # so few that the writers meet


class GivenUp(Exception):
    """The transaction is rolled back."""


def main(seed: str, seconds: float) -> None:
    import django

    django.setup()

    from django.db import OperationalError, transaction

    from invoices import mirror
    from invoices.snapshot import ReadTime, of_read

    chance, end = random.Random(seed), time.monotonic() + seconds
    print("writes", flush=True)
    while time.monotonic() < end:
        try:
            with transaction.atomic():
                for _ in range(chance.randint(1, 3)):
                    now = datetime.now(UTC)
                    told = [
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
    main(sys.argv[1], float(sys.argv[2]))

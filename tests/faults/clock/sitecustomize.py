"""Pushes the clock of a Python process on by CLOCK_OFFSET seconds, from its first line on; it goes on from there.

It stands for a host whose clock is wrong: time.time and datetime.now say so, time.monotonic and the servers do not.
"""

import os
from datetime import UTC, datetime, timedelta

if os.environ.get("CLOCK_OFFSET"):
    import time_machine

    time_machine.travel(datetime.now(UTC) + timedelta(seconds=float(os.environ["CLOCK_OFFSET"])), tick=True).start()

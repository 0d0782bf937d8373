"""The garbage collector of our processes: it looks seldom, and never at what stays until the process ends."""

import gc

from django.urls import get_resolver

# Allocations between two passes, and how many passes of one generation there are for one of the next. Python's own 700
# means a pass for every few invoices that are read, because each is many dictionaries and lists. An import spent a
# seventh of its CPU on that, and nearly nothing here is garbage that only the collector finds.
THRESHOLDS = (20_000, 20, 20)


def collect_seldom() -> None:
    """Called once in each process."""
    gc.set_threshold(*THRESHOLDS)


def freeze() -> None:
    """Called once in each process that serves requests or performs tasks, at the end of its start.

    A full pass of the collector over the 160,000 objects of modules, models, forms and addresses takes about 80 ms, and
    no request goes on meanwhile. Afterwards a pass looks only at what was made since. The addresses are loaded first,
    with all that they import, which Django would otherwise do in the first request.
    """
    collect_seldom()
    get_resolver().url_patterns  # noqa: B018  a property that loads them
    gc.collect()
    gc.freeze()

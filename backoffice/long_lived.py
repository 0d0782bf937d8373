"""What a process has made at its start stays until its end: the garbage collector need not look at it again."""

import gc

from django.urls import get_resolver


def freeze() -> None:
    """Called once in each process that serves requests or performs tasks, at the end of its start.

    A full pass of the collector over the 160,000 objects of modules, models, forms and addresses takes about 80 ms, and
    no request goes on meanwhile. Afterwards a pass looks only at what was made since. The addresses are loaded first,
    with all that they import, which Django would otherwise do in the first request.
    """
    get_resolver().url_patterns  # noqa: B018  a property that loads them
    gc.collect()
    gc.freeze()

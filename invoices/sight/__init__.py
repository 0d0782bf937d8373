"""What is told about the running desk: log lines, counters, traces, and reports of errors.

`context.py` holds what a line is about, `logs.py` makes lines, `redaction.py` takes out of them what must not leave the
process, `counters.py` counts. `tracing.py` draws spans where a collector is
configured, and `errors.py` reports to Sentry where that is. Nothing here imports the rest of the desk.
"""

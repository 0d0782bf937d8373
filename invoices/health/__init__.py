"""/healthz, /readyz and /metrics: is the desk alive, is it ready, how much work waits.

`views.py` has the three addresses, `checks.py` the rules of /readyz, `gauges.py` the numbers of /metrics, and
`probe.py` the time limit on whatever may hang.
"""

"""/readyz and /metrics: is the desk ready, how much work waits. (/healthz is answered by backoffice/serving.py.)

`views.py` has the two addresses, `checks.py` the rules of /readyz, `gauges.py` the numbers of /metrics, and
`probe.py` the time limit on whatever may hang.
"""

"""What `manage.py demo` is made of.

`startup.py` brings everything up in order; `supervisor.py` and `guard.py` start, restart and end the processes;
`environment.py` has secrets and variables, `ownership.py` says whose the database is, `users.py` has the people,
`statement.py` writes a bank's file, `tour.py` has what is printed at the end.
"""

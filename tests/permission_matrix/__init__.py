"""Who may what: a row for each address of the desk, the roles, and what each role is answered.

rows.py       one row for each address, with the permissions that decide
roles.py      the roles, and what each may by the groups that come with the tables
addresses.py  all addresses that Django's resolver knows, and the row of each
objects.py    an object of every kind, for addresses that need one
document.py   docs/permissions.md, whose tables `make permissions` writes
"""

"""People and services: users, groups, API tokens."""

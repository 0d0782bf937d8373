"""What `manage.py demo` is made of: its keys, its processes, its people, its tour."""

#!/usr/bin/env python
"""Django's command line for this project. Exits with 130 on Ctrl-C, as a shell expects."""

import os
import sys


def main() -> None:
    if sys.argv[1:2] == ["demo"]:  # the terminal may have the environment of a production desk
        from invoices.management.demo.environment import leave_the_shell

        leave_the_shell(os.environ)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")
    try:
        from django.core.management import execute_from_command_line

        from backoffice import long_lived

        long_lived.collect_seldom()
        execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()

"""Prints the SQL that makes the tables, for an administrator who applies it himself."""

from __future__ import annotations

import argparse
import sys

from unbroken.errors import ConfigurationError
from unbroken.logs.postgres.place import Place
from unbroken.logs.postgres.schema import script


def main() -> None:
    """Read the arguments, and print."""
    parser = argparse.ArgumentParser(prog="python -m unbroken.logs.postgres", description=__doc__)
    parser.add_argument("--schema", default="unbroken", help="the schema that the tables go into")
    parser.add_argument("--after", type=int, default=0, help="the step that is applied already")
    arguments = parser.parse_args()
    try:
        namespace = Place(dsn="postgresql://", schema=arguments.schema).namespace
    except ConfigurationError as exc:
        parser.error(str(exc))
    sys.stdout.write(script(namespace, arguments.after))


if __name__ == "__main__":
    main()

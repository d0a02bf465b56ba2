"""`python -m metaconf.cli`: the command line."""

import sys

from metaconf.cli import main

if __name__ == "__main__":
    sys.exit(main())

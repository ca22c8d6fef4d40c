"""`python -m fastrnn`: see `fastrnn._cli`."""

import sys

from fastrnn._cli import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m avatar.cli` is the `headsplat` command."""

import sys

from avatar.cli import main

sys.exit(main())

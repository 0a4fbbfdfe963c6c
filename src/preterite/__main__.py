"""`python -m preterite` is the command line."""

import sys

from preterite.cli import main

sys.exit(main())

"""`python -m preterite` is the command line."""

import sys

from preterite.cli.command_line import main

sys.exit(main())

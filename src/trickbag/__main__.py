"""Run the command line: `python -m trickbag`."""

import sys

from trickbag.cli import main

sys.exit(main())

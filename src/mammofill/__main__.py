"""``python -m mammofill``: the same as the command ``mammofill``."""

import sys

from mammofill.cli import main

sys.exit(main())

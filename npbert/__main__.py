"""`python -m npbert`."""

import sys

from npbert.cli.main import main

sys.exit(main())

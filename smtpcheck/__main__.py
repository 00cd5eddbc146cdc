"""`python -m smtpcheck`."""

import sys

from smtpcheck.cli import main

sys.exit(main())

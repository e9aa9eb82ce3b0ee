"""The command line in a process that Ctrl-C stops, however the tests were started."""

from __future__ import annotations

import sys
from typing import Final

# Whoever started the tests in the background had Ctrl-C ignored by all that they start.
_PROGRAM: Final = """
import signal, sys
from minicube.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main(sys.argv[1:])
"""

STOPPABLE: Final = (sys.executable, "-c", _PROGRAM)
"""What stands before the words of a command."""

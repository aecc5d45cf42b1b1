"""The command `zmqgossip` and `python -m zmqgossip`. Left to others: everything but a Ctrl-C that comes early, see `cli/app.py`."""

import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """The entry point of the console script; ends the process with the command's exit code."""
    try:
        from zmqgossip.cli.app import main as command

        command()
    except KeyboardInterrupt:  # in the tenth of a second that the imports take, say: as at any other time, no traceback
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()

"""`python -m zmqgossip` is the command `zmqgossip`. Left to others: everything, see `cli/app.py`."""

from zmqgossip.cli.app import main

if __name__ == "__main__":
    main()

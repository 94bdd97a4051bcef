"""`python -m tune.cli`: the command line without its script."""

from tune.cli import start

start()

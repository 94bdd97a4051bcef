"""The command line: one verb, one function."""

import gc


def start() -> None:
    """Run the command line.

    What it imports stays, and a tenth of that time would be searches for garbage among it: they begin
    with the verb, if it is none of the short ones.
    """
    gc.disable()
    from tune.cli.main import main  # slow: typer, pydantic

    main()

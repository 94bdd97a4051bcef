"""Rules that end a trial: pure functions of journalled reports."""

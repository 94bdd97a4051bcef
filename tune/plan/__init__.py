"""Plans of studies: all that one will do, and how long it will take, as values."""

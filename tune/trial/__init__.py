"""One trial under Ray: its actor, its engine's process, and what passes between them."""

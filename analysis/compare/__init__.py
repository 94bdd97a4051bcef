"""Studies beside each other: a table, a page, pictures, and what two of them differ in."""

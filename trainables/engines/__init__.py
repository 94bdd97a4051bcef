"""Model families behind one contract, a folder each."""

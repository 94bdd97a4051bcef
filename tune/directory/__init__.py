"""The study directory: its layout, its journal, its writer and its reader."""

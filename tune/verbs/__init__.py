"""The verbs as functions: what `import segtune` gives."""

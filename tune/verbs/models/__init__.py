"""The verbs about models as functions: export, evaluate, pick, scale, measure."""

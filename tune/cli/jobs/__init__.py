"""Verbs about jobs on a cluster: submit, jobs, logs, stop; and the cluster's side of others."""

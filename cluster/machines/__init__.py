"""Machines: what each has, and what share of it a trial gets."""

"""Verbs about several studies, and about what people keep with one."""

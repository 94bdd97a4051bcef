"""Readers of annotation formats, one module each; `registry` lists them."""

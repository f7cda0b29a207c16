"""Thin pytest glue: everything pytest is spoken here and nowhere else.

Invariant: a hook of ours never raises because of our own fault; a failure inside the
plugin is reported once and the suite goes on.
"""

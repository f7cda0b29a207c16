"""What a session amounts to, and its renderings.

Invariant: `summary` analyses once, from plain values; a renderer only writes down
what is in the summary, and nothing here changes a verdict.
"""

"""What outlives a session: spools of records, and the history they are merged into.

Invariant: nothing in this room is needed for a verdict; whatever fails here ends as a
`StoreError` or a count of lost records, and the records stay in the spool.
"""

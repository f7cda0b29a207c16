"""Driver sessions, their processes, and what can be asked of them and done to them.

Invariant: this is the only room that speaks to selenium, psutil and urllib3, and it
imports them only once a session exists or a probe is made.
"""

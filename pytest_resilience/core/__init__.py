"""Pure decisions: values in, values out.

Invariant: nothing here imports anything but the standard library, reads a clock
or draws a random number; whatever is needed of the world comes in as an argument.
"""

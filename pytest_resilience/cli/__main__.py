"""``python -m pytest_resilience.cli``, for when the script is not on the path.

Invariant: it is the installed script and nothing more.
"""

from __future__ import annotations

from pytest_resilience.cli import main

if __name__ == "__main__":
    main()

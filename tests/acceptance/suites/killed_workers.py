"""A controller whose workers are killed at random moments, and a browser for each module in them.

Which worker, and how long after the last one, follows from ``SEED``; how many from ``KILLS``.
"""

import contextlib
import os
import random
import threading
import time

import lab
import pytest


@pytest.fixture(scope="module")
def driver():
    with lab.browser() as driver:
        yield driver


class Killer:
    """Kills workers with SIGKILL, from the moment on when the first one is ready."""

    def __init__(self, seed, kills):
        self.chance = random.Random(seed)
        self.kills = kills
        self.living = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.kill_some, daemon=True)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node):
        self.living[node.gateway.id] = node.gateway._io.popen
        if not self.thread.is_alive() and self.kills:
            self.thread.start()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node):
        self.living.pop(node.gateway.id, None)

    def pytest_unconfigure(self):
        self.over.set()

    def kill_some(self):
        begun = time.monotonic()
        while self.kills and not self.over.wait(self.chance.uniform(0.1, 3.0)):
            # Sorted, so that chance alone decides.
            for name in self.chance.sample(sorted(self.living), len(self.living))[:1]:
                with contextlib.suppress(ProcessLookupError, KeyError):
                    self.living.pop(name).kill()
                    self.kills -= 1
                    lab.log(f"{name} after {time.monotonic() - begun:.1f} s", "kills.txt")
        self.kills = 0


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        killer = Killer(int(os.environ.get("SEED", "0")), int(os.environ.get("KILLS", "0")))
        config.pluginmanager.register(killer)

"""Two browsers, one of which never starts, and one test that owns its browser itself."""

import lab
import pytest


@pytest.fixture(params=["good", "bad"])
def driver(request):
    lab.log(f"asked {request.param}")
    binary = "/bin/false" if request.param == "bad" else "chromium"
    with lab.browser("driver", binary=binary) as driver:
        yield driver


@pytest.mark.parametrize("number", range(4))
def test_shop(driver, number):
    lab.visit(driver)

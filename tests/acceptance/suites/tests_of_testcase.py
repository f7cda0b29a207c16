"""One test for each moment at which a fault may strike; unittest's way."""

import unittest

import lab


class TestShop(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.driver = lab.launch()
        lab.log("+driver")

    @classmethod
    def tearDownClass(cls):
        lab.log("-driver")
        lab.good_bye(cls.driver)

    def setUp(self):
        lab.strike("setup", self.driver)
        lab.visit(self.driver)

    def test_before(self):
        assert self.driver.title == "shop"

    def test_between(self):
        lab.strike("call", self.driver)
        assert self.driver.title == "shop"

    def test_during(self):
        lab.work(self.driver)

    def test_neighbour(self):
        assert self.driver.title == "shop"

    def test_setup(self):
        assert self.driver.title == "shop"

    def test_teardown(self):
        assert self.driver.title == "shop"


class TestNext(TestShop):
    test_between = test_during = test_neighbour = test_setup = test_teardown = None

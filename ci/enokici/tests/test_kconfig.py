"""Fragments merge, and an option that did not end up as asked is named."""

import unittest

from enokici import kconfig
from enokici.common import Failure


class KconfigTest(unittest.TestCase):
    """Parsing, rendering and checking of options."""

    def test_parse_and_render(self) -> None:
        """What is rendered parses to the same options."""
        options = kconfig.parse('CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="x"\n# words\nCONFIG_D=n\n')
        self.assertEqual(options, {"A": "y", "B": "n", "C": '"x"', "D": "n"})
        self.assertEqual(kconfig.parse(kconfig.render(options)), options)

    def test_check_names_what_is_wrong(self) -> None:
        """All wrong options are listed at once."""
        kconfig.check({"A": "y", "B": "n"}, "CONFIG_A=y\n")
        with self.assertRaisesRegex(Failure, r"(?s)CONFIG_A is n, wanted y.*CONFIG_B is m, wanted n"):
            kconfig.check({"A": "y", "B": "n"}, "CONFIG_B=m\n")

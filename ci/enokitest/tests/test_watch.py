"""What ci/watch takes from a policy's source."""

import unittest

from enokici.common import CHECKOUT, Failure
from enokitest import watch

SOURCE = """
use enoki::prelude::*;

impl Scheduler for Fifo {
    const NAME: &'static str = "fifo";
}

module_enoki_scheduler! {
    type: Fifo,
    name: "enoki_fifo",
    params: {
        x: u32 { default: 1, description: "name: \\"none\\"" },
    },
}
"""


class Names(unittest.TestCase):
    def test_of_a_source(self) -> None:
        self.assertEqual(watch.module_of(SOURCE), "enoki_fifo")
        self.assertEqual(watch.policy_of(SOURCE), "fifo")

    def test_of_all_samples(self) -> None:
        for path in sorted((CHECKOUT / "samples/rust").glob("enoki_*.rs")):
            text = path.read_text(encoding="utf-8")
            self.assertEqual(watch.module_of(text), path.stem)
            self.assertTrue(watch.policy_of(text))

    def test_renamed(self) -> None:
        new = watch.renamed(SOURCE, 7)
        self.assertEqual(watch.module_of(new), "enoki_fifo_w7")
        self.assertEqual(watch.policy_of(new), "fifo")
        self.assertEqual(new.replace("_w7", ""), SOURCE)

    def test_compilers_words(self) -> None:
        said = "make M=x failed; from y:\n  RUSTC [M] a_w1.o\nerror[E1]: no\n  --> a_w1.rs:3:1\nmake[3]: *** [a_w1.o] Error 1"
        words = watch.compilers_words(said, "a_w1.rs", CHECKOUT / "samples/rust/a.rs")
        self.assertEqual(words, "error[E1]: no\n  --> samples/rust/a.rs:3:1")

    def test_what_is_none(self) -> None:
        for text in ("", "fn main() {}", SOURCE.replace("name:", "nome:", 1)):
            with self.assertRaisesRegex(Failure, "module_enoki_scheduler"):
                watch.module_of(text)
        with self.assertRaisesRegex(Failure, "names the policy"):
            watch.policy_of("")


if __name__ == "__main__":
    unittest.main()

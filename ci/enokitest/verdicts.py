"""What a benchmark promises, and whether it was so."""

from collections.abc import Sequence

from .suite import Outcome
from .tap import Results

Verdict = tuple[str, bool]


def outcome(verdicts: Sequence[Verdict]) -> Outcome:
    """Each as a test."""
    results = Results()
    for words, good in verdicts:
        results.passed += good
        if not good:
            results.failed.append(words)
    return Outcome(results)


def tell(verdicts: Sequence[Verdict]) -> int:
    """Each as a line; the exit status."""
    for words, good in verdicts:
        print(f"{'ok' if good else 'MISSED':6} {words}")
    return 0 if all(good for _, good in verdicts) else 1

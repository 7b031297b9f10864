"""ci/bench: measurements."""

import argparse

from enokici.common import main_wrapper

from . import bench, bench_arachne, bench_locality, bench_shinjuku, bench_upgrade


def main() -> int:
    """The command line of ci/bench."""
    parser = argparse.ArgumentParser(
        prog="ci/bench", description="Measures; tables here, JSON and pictures in out/bench/."
    )
    parser.add_argument("what", choices=("pipe", "shinjuku", "locality", "arachne", "upgrade"))
    shinjuku = parser.add_argument_group("shinjuku")
    shinjuku.add_argument(
        "--requests", type=int, default=bench_shinjuku.REQUESTS, metavar="N", help="for each point (default: %(default)s)"
    )
    shinjuku.add_argument(
        "--load", type=float, action="append", metavar="PART", help="instead of the usual ones, such as 0.7; repeatable"
    )
    args = parser.parse_args()
    if args.what == "shinjuku":
        return bench_shinjuku.main(args.requests, args.load or bench_shinjuku.LOADS)
    if args.what == "arachne":
        return bench_arachne.main()
    if args.what == "locality":
        return bench_locality.main()
    if args.what == "upgrade":
        return bench_upgrade.main()
    return bench.pipe()


if __name__ == "__main__":
    main_wrapper(main)

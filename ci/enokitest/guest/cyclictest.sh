#!/bin/bash
# Runs in the guest: cyclictest.sh PROGRAMS PAIRS LOOPS LOAD…  A load is what enoki_run takes.
# Prints "latency LOAD US…", the longest that a real-time task on each CPU had to wait
# beside the same programs under each, in turns.
set -euo pipefail
programs=$1 pairs=$2 loops=$3
shift 3
modprobe -a enoki_fifo enoki_wfq
for ((pair = 0; pair < pairs; pair++)); do
	for load in "$@"; do
		"$programs/enoki_run" "$load" stress-ng --quiet --switch 2 --fork 2 --futex 1 --cpu 1 --timeout 0 &
		pid=$!
		until [ "$(pgrep -c stress-ng)" -gt 6 ]; do sleep 0.05; done
		latencies=$(chrt -f 95 cyclictest --quiet --mlockall --smp --priority 90 --interval 1000 --loops "$loops")
		echo latency "$load" "$(sed -n 's/.*Max: *//p' <<<"$latencies" | paste -sd' ')"
		kill "$pid"
		wait "$pid" || true
		while pgrep stress-ng >/dev/null; do sleep 0.05; done
	done
done

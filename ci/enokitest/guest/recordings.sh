#!/bin/bash
# Runs in the guest: recordings.sh PROGRAMS TEST_MODULES WHERE CPUS
# Records each policy, while two tasks pass a byte to and fro and while many do different things.
set -uo pipefail
programs=$1 modules=$2 where=$3 cpus=$4
status=0

record() {
	local name=$1 id=$2
	shift 2
	"$programs/enoki_tape" "$where/$name.stream" "$id" "$@" >/dev/null || {
		echo "$name: status $?"
		status=1
	}
}

# shellcheck disable=SC2016  # expanded by the shell that runs it
mix='for i in 1 2 3 4 5 6; do
	(for j in 1 2 3 4; do /bin/true; sleep 0.0$j; done) &
done
for i in 1 2 3; do
	(x=0; while [ $x -lt 1500 ]; do x=$((x + 1)); done; renice -n $i $$ >/dev/null) &
done
wait'

for policy in fifo wfq shinjuku locality arachne fickle; do
	if [ $policy = fickle ]; then
		insmod "$modules/enoki_fickle.ko" || status=1
	else
		modprobe enoki_$policy || status=1
	fi
	id=$(cat /sys/kernel/sched_enoki/$policy/id) || status=1
	record $policy-pipe "$id" "$programs/pipe_bench" "$id" 0 $((cpus > 1)) 500 1
	[ $policy = fickle ] || record $policy-mix "$id" "$programs/enoki_run" "$id" sh -c "$mix"
done
exit $status

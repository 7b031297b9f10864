#!/bin/bash
# Runs in the guest: pipe.sh PROGRAMS SCX_SIMPLE OPERATIONS REPEATS NAME:POLICY:MEANWHILE…
# Prints "result NAME CPUS NS…" for each class, both tasks on one CPU and on two.
set -uo pipefail
programs=$1 scx=$2 operations=$3 repeats=$4
shift 4
status=0

# A policy that cannot be loaded leaves its lines out; the reader misses them.
modprobe -a enoki_fifo enoki_wfq || status=1

await_scx() {
	local tries=0
	until [ "$(cat /sys/kernel/sched_ext/state 2>/dev/null)" = "$1" ]; do
		tries=$((tries + 1))
		[ $tries -lt 200 ] || return 1
		sleep 0.05
	done
}

for class in "$@"; do
	IFS=: read -r name policy meanwhile <<<"$class"
	recorder=0 recording=()
	[[ "$meanwhile" != record* ]] || recorder=1
	[ "$meanwhile" != recording ] || recording=("$programs/enoki_tape" /dev/null "$policy")
	echo $recorder >/sys/kernel/debug/sched_enoki/recorder || status=1
	if [ "$meanwhile" = scx ]; then
		"$scx" >/dev/null &
		pid=$!
		await_scx enabled || status=1
	fi
	for cpus in "0 0" "0 1"; do
		read -r a b <<<"$cpus"
		if values=$("${recording[@]}" "$programs/pipe_bench" "$policy" "$a" "$b" "$operations" "$repeats"); then
			echo result "$name" $((1 + b)) "$values" | paste -sd' '
		else
			status=1
		fi
	done
	if [ "$meanwhile" = scx ]; then
		kill -INT "$pid"
		wait "$pid"
		await_scx disabled || status=1
	fi
done
exit $status

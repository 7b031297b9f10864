#!/bin/bash
# Runs in the guest: selftests.sh DIRECTORY PROGRAM…  Each program's output stands between
# two marks, which also go to the kernel's log, so that its reports can be told apart. VARIANTS
# says under which policies those of them run that are for each.
set -uo pipefail
dir=$1
shift
here=$(dirname "${BASH_SOURCE[0]}")
read -ra variants <<<"${VARIANTS:--V shinjuku -V locality -V arachne}"
[ ! -e /sys/kernel/debug/kcsan ] || "$here/kcsan.sh" on
for name in "$@"; do
	echo "enoki selftest: $name" >/dev/kmsg
	echo "# enoki-begin $name"
	# A session of its own: when its time is over all of it ends, whatever it started.
	setsid timeout -k 5 "${LIMIT:-600}" "$dir/$name" "${variants[@]}" 2>&1 &
	wait $!
	status=$?
	pkill -KILL -s $! || true
	echo "# enoki-end $name $status"
done
[ ! -e /sys/kernel/debug/kcsan ] || "$here/kcsan.sh" check

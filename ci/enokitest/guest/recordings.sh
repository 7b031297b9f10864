#!/bin/bash
# Runs in the guest: recordings.sh SELFTESTS USERSPACE TEST_MODULES WHERE CPUS
# Records each policy, while two tasks pass a byte to and fro, and while many do different things, one
# of which is to replace the policy; shinjuku also with another slice than its own; and wfq while two tasks of different weights do nothing but run.
set -uo pipefail
selftests=$1 userspace=$2 modules=$3 where=$4 cpus=$5
status=0
export PATH=$userspace/release:$PATH ENOKI_CLIENT_LIBRARY=$userspace/release/libenoki_client.so

record() {
	local name=$1 policy=$2
	shift 2
	enokictl record --output "$where/$name.enoki" --lossless --policy "$policy" -- "$@" >/dev/null || {
		echo "$name: status $?"
		status=1
	}
}

# The same module by another name, of as many letters.
renamed() {
	local name other
	name=$(basename "$1" .ko) other=${name%?}2
	sed "s/$name\\x00/$other\\x00/g" "$1" >"/tmp/$other.ko"
	echo "/tmp/$other.ko"
}

# shellcheck disable=SC2016  # expanded by the shell that runs it
mix='policy=$1 module=$2 hints=$3
hackbench -g 1 -f 3 -l 40 >/dev/null &
stress-ng -q --cpu 1 --cpu-ops 3 --switch 1 --switch-ops 500 &
for i in 1 2 3 4 5 6; do
	(for j in 1 2 3 4; do /bin/true; sleep 0.0$j; done) &
done
for i in 1 2 3; do
	(x=0; while [ $x -lt 1500 ]; do x=$((x + 1)); done; renice -n $i $$ >/dev/null) &
done
[ -z "$hints" ] || $hints >/dev/null &
enokictl upgrade "$policy" "$module" && wait'

# shellcheck disable=SC2016  # expanded by the shell that runs it
hog='x=0; while [ $x -lt 40000 ]; do x=$((x + 1)); done'

for policy in fifo wfq shinjuku locality arachne echo fickle; do
	hints=
	case $policy in
	echo) hints="$userspace/examples/sender well" ;;
	locality) hints="$userspace/examples/places.py 20" ;;
	esac
	case $policy in
	echo | fickle) module=$modules/enoki_$policy.ko ;;
	*) module=$(modinfo -n enoki_$policy) ;;
	esac
	[ $policy != shinjuku ] || {
		insmod "$module" slice_us=15 || status=1
		record shinjuku-slice shinjuku "$selftests/pipe_bench" "$(cat /sys/kernel/sched_enoki/shinjuku/id)" 0 0 100 1
		rmmod enoki_shinjuku || status=1
	}
	insmod "$module" || status=1
	id=$(cat /sys/kernel/sched_enoki/$policy/id) || status=1
	record $policy-pipe $policy "$selftests/pipe_bench" "$id" 0 $((cpus > 1)) 500 1
	[ $policy != wfq ] || record $policy-shares $policy enokictl run $policy sh -c "nice -n 10 sh -c '$hog' & $hog; wait"
	[ $policy != fickle ] || continue
	module=$(renamed "$module")
	record $policy-mix $policy enokictl run $policy sh -c "$mix" mix $policy "$module" "$hints"
done
exit $status

#!/bin/bash
# Runs in the guest: kcsan.sh on switches the data race detector on, kcsan.sh check fails if
# it watched nothing. It reports what the Enoki class does, not the classes beside it.
set -euo pipefail
kcsan=/sys/kernel/debug/kcsan
case $1 in
on)
	echo whitelist >$kcsan
	sed -n 's/^[0-9a-f]* [tT] \(\w*enoki[a-zA-Z0-9_.]*\)$/!\1/p' /proc/kallsyms | sort -u |
		while read -r function; do echo "$function" >$kcsan; done
	echo on >$kcsan
	;;
check)
	echo off >$kcsan
	grep -E '^(setup_watchpoints|data_races|report_races):' $kcsan
	grep -q '^setup_watchpoints: [1-9]' $kcsan && grep -q 'pick_task_enoki' $kcsan
	;;
esac

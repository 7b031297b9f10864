#!/bin/bash
# Runs in the guest: flood.sh ECHO.ko FLOOD COUNT, see userspace/enoki-client/examples/flood.rs.
set -euo pipefail
insmod "$1"
"$2" "$3"
rmmod enoki_echo

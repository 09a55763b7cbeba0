#!/usr/bin/env bash
# The ABI is the baseline's, and the check of that can fail: each kind of break is made in a copy of the header and must be
# found, and what the header's contract allows must pass.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

scripts/abi.sh check | tee "$work/output"
grep -q '^skipped' "$work/output" && exit 0

# A copy of the header with an edit, and whether it is compatible.
check() { # yes or no, what, sed script
  sed -E "$3" include/rtcswarm.h >"$work/rtcswarm.h"
  found=yes
  RTCSWARM_HEADER=$work/rtcswarm.h scripts/abi.sh check >"$work/output" 2>&1 || found=no
  # "no" must have been said of the ABI, not be a failure of the check itself.
  if cmp -s include/rtcswarm.h "$work/rtcswarm.h" || [ "$found" != "$1" ] ||
    { [ "$1" = no ] && ! grep -q '^FAILED the ABI' "$work/output"; }; then
    echo "FAILED ABI: compatible should be \"$1\": $2"
    sed 's/^/    /' "$work/output"
    failures=$((failures + 1))
  fi
}
check no "a function is gone" '/^int32_t rtcswarm_wakeup\(/d'
check no "an argument has another type" 's/(rtcswarm_config_set_port\(.*)uint16_t/\1uint32_t/'
check no "a member has another type of the same size" 's/int64_t bitrate;/double bitrate;/'
check no "a member in the middle" 's/^  uint64_t datagrams_sent;/  uint64_t more;\n&/'
check no "a member is renamed" 's/socket_send_buffer;/send_buffer;/'
check no "a struct that may not grow grows" 's/^\} rtcswarm_track_spec;/  int32_t more;\n&/'
check no "a constant has another value" 's/(RTCSWARM_ERR_STATE) -11/\1 -99/'
check no "a constant is gone" '/RTCSWARM_LOG_TRACE/d'
check no "growth hides no change" 's/^\} rtcswarm_stats;/  uint64_t more;\n&/; s/uint64_t datagrams_sent;/int64_t datagrams_sent;/'
check yes "a function, a constant and members at the end are new" \
  's/^\} rtcswarm_(event|stats);/  uint64_t more;\n&/; s/^int32_t rtcswarm_wakeup\(/int32_t rtcswarm_more(int32_t x);\n&/; s/^#define RTCSWARM_OK 0/&\n#define RTCSWARM_MORE 7/'
grep -q "rtcswarm_more" "$work/output" && grep -q "RTCSWARM_MORE 7" "$work/output" && grep -q "uint64_t more" "$work/output" || {
  echo "FAILED ABI: what is new is not said"
  failures=$((failures + 1))
}
[ "$failures" -eq 0 ] && echo "ok ABI: breaks are found"

#!/usr/bin/env bash
# Holds the C interface to the committed baseline in tests/abi: programs that were built with it must run with what is here.
#
#   scripts/abi.sh check    fails where a function is gone, an argument, a struct's layout or a constant's value has changed;
#                           says what is new: functions, constants, and members at the end of structs that may grow
#   scripts/abi.sh bless    makes the baseline what is here, for a new interface or after an addition
#
# Rust's debugging information does not say what C sees, so the types are those of include/rtcswarm.h in a C compiler's
# words: each declared function gets an empty body. tests/header.rs holds the header to the source, and tests/c/install_test.sh the
# library to the header. abidw and abidiff are in Debian's package abigail-tools.
set -euo pipefail
cd "$(dirname "$0")/.."
header=${RTCSWARM_HEADER:-include/rtcswarm.h}
baseline=tests/abi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

[ "$(uname -sm)" = "Linux x86_64" ] || {
  if [ "${CI:-}" = true ]; then
    echo "FAILED the ABI baseline is of Linux on x86-64, and so is no check here"
    exit 1
  fi
  echo "skipped: the ABI baseline is of Linux on x86-64"
  exit 0
}
for tool in abidw abidiff gcc; do
  command -v "$tool" >/dev/null && continue
  if [ "${CI:-}" = true ]; then
    echo "FAILED $tool is missing"
    exit 1
  fi
  echo "skipped: $tool is missing"
  exit 0
done

# These grow at their end, as they begin with their size or are the library's own. rtcswarm_track_spec is not among them.
growing='event peer_stats stats track_stats hub_limits hub_output hub_stats'

# The declarations of a header, one line each, without comments.
declarations() { gcc -fpreprocessed -dD -E -P "$1" | sed 's/^#if/\n&/'; }

# The same with the structs that may grow cut to the members that they have in the baseline: then whatever differs, breaks.
cut_to_baseline() { # header
  declarations "$1" | awk -v growing="$growing" -v baseline="$baseline/rtcswarm.abi" '
    BEGIN {
      n = split(growing, names, " ")
      for (i = 1; i <= n; i++) grows["rtcswarm_" names[i]] = 1
      while ((getline line < baseline) > 0) {
        if (match(line, /<class-decl name=.[a-z_]+/)) name = substr(line, RSTART + 18, RLENGTH - 18)
        if (line ~ /<data-member /) members[name]++
      }
    }
    /^typedef struct [a-z_]+ \{/ { inside = $3; count = 0; print; next }
    /^\}/ { inside = "" }
    inside in grows && /;/ && ++count > members[inside] { next }
    { print }'
}

# An interface as a library of empty functions, and its description.
describe() { # header, output
  cp "$1" "$work/rtcswarm.h"
  declarations "$1" | sed '/^#/d' | tr '\n' ' ' | tr ';' '\n' |
    sed -nE 's/extern "C" \{//; /typedef/d; s/^ *([^{}]*rtcswarm_[a-z0-9_]+ *\(.*\)) *$/\1 { __builtin_trap(); }/p' >"$work/bodies"
  { echo '#include "rtcswarm.h"'; cat "$work/bodies"; } >"$work/abi.c"
  functions=$(wc -l <"$work/bodies")
  [ "$functions" -gt 50 ] || {
    echo "FAILED the header was not understood: $functions functions"
    exit 1
  }
  gcc -w -g -O0 -fPIC -shared -fdebug-prefix-map="$work=." -Wl,-soname,librtcswarm.so "$work/abi.c" -o "$work/librtcswarm.so"
  abidw --headers-dir "$work" --no-show-locs --no-corpus-path --no-comp-dir-path --short-locs --no-elf-needed \
    --type-id-style hash "$work/librtcswarm.so" | sed "s,$work,.,g" >"$2"
}
# Every constant with its value, but what the library's version changes.
constants() { # header
  gcc -dM -E "$1" | sed -nE 's/^#define (RTCSWARM_[A-Z0-9_]+) (.+)$/\1 \2/p' | grep -v '^RTCSWARM_VERSION_' | LC_ALL=C sort
}

case ${1:-check} in
  bless)
    mkdir -p "$baseline"
    describe "$header" "$baseline/rtcswarm.abi"
    constants "$header" >"$baseline/constants"
    ;;
  check)
    failed=0
    describe "$header" "$work/now.abi"
    cut_to_baseline "$header" >"$work/cut.h"
    describe "$work/cut.h" "$work/cut.abi"
    abidiff --harmless --no-added-syms "$baseline/rtcswarm.abi" "$work/cut.abi" >"$work/breaks" || failed=$?
    [ "$failed" -eq 0 ] || cat "$work/breaks"
    constants "$header" >"$work/constants"
    gone=$(LC_ALL=C comm -23 "$baseline/constants" "$work/constants")
    if [ -n "$gone" ]; then
      failed=1
      printf 'constants that are gone or have other values now; they were\n%s\n' "$gone"
    fi
    if [ "$failed" -ne 0 ]; then
      echo "FAILED the ABI is not what programs were built with (a new interface: scripts/abi.sh bless)"
      exit 1
    fi
    abidiff "$baseline/rtcswarm.abi" "$work/now.abi" >"$work/new" || cat "$work/new"
    LC_ALL=C comm -13 "$baseline/constants" "$work/constants" | sed 's/^/new constant: /'
    echo "ok ABI: $(wc -l <"$work/bodies") functions, $(wc -l <"$work/constants") constants"
    ;;
  *)
    echo "usage: scripts/abi.sh [check|bless]" >&2
    exit 64
    ;;
esac

#!/bin/sh
# The tests of the C interface and of its C++ wrapper: a matrix of compilers and standards, the test programs plainly and
# under valgrind, and the installed library. One line a test; status 0 if all are well.
#
#   tests/c/run.sh            after `cargo build --release --lib`; RTCSWARM_TARGET_DIR names another target/release
#   CI=true tests/c/run.sh    a missing tool is a failure
#   tests/c/run.sh compile|plain|valgrind|install ...    some of it only

set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${RTCSWARM_TARGET_DIR:-$root/target/release}
case $target in /*) ;; *) target=$(pwd)/$target ;; esac
build=$target/c-tests
failures=0
warnings="-Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion"
c_tests="arguments states callbacks exchange signals"

cd "$root" || exit 1
mkdir -p "$build" || exit 1

well() { echo "ok $1"; }
bad() {
  echo "FAILED $1"
  failures=$((failures + 1))
}
# check NAME COMMAND...: one line, and what the command said only if it failed.
check() {
  name=$1
  shift
  if "$@" >"$build/output" 2>&1; then
    well "$name"
  else
    bad "$name"
    sed 's/^/    /' "$build/output"
  fi
}
have() {
  command -v "$1" >/dev/null 2>&1 && return 0
  if [ "${CI:-}" = true ]; then bad "$1 is missing"; else echo "skipped: $1 is missing"; fi
  return 1
}

compile() {
  for compiler in gcc clang; do
    have $compiler || continue
    for standard in c99 c11 c17 c2x; do
      # shellcheck disable=SC2086
      check "$compiler $standard: rtcswarm.h and the examples" \
        $compiler -std=$standard $warnings -Wstrict-prototypes -Iinclude -fsyntax-only \
        -x c include/rtcswarm.h examples/chat.c examples/callbacks.c
    done
  done
  for compiler in g++ clang++; do
    have $compiler || continue
    echo '#include <rtcswarm.h>' >"$build/header.cpp"
    for standard in c++11 c++14 c++17 c++20; do
      # shellcheck disable=SC2086
      check "$compiler $standard: rtcswarm.h" \
        $compiler -std=$standard $warnings -Iinclude -fsyntax-only "$build/header.cpp"
    done
    for standard in c++17 c++20; do
      # shellcheck disable=SC2086
      check "$compiler $standard: rtcswarm.hpp" $compiler -std=$standard $warnings -Wsign-conversion -Wold-style-cast \
        -Iinclude -Ibindings/c -fsyntax-only tests/c/wrapper.cpp examples/chat.cpp
    done
  done
  # No function is forgotten where callers' mistakes are tried.
  sed -e 's,/\*.*\*/,,' -e '/\/\*/,/\*\//d' include/rtcswarm.h | grep -v typedef |
    grep -o 'rtcswarm_[a-z0-9_]*(' | sort -u >"$build/functions"
  missing=
  while read -r function; do
    grep -qF "$function" tests/c/arguments.c || missing="$missing $function)"
  done <"$build/functions"
  if [ -n "$missing" ] || [ "$(wc -l <"$build/functions")" -lt 50 ]; then
    bad "every function is tried with NULL; not:$missing"
  else
    well "every function is tried with NULL"
  fi
}

programs() {
  [ -f "$target/librtcswarm.so" ] || {
    bad "there is no $target/librtcswarm.so: cargo build --release --lib"
    return 1
  }
  # The loader looks for the name in the library, which make install gives it.
  name=$(readelf -d "$target/librtcswarm.so" | sed -n 's/.*soname: \[\(.*\)\].*/\1/p')
  ln -sf ../librtcswarm.so "$build/$name"
  for test in $c_tests; do
    # shellcheck disable=SC2086
    check "build $test" "${CC:-cc}" -std=c11 -g -O1 $warnings -Iinclude "tests/c/$test.c" tests/c/harness.c \
      -o "$build/$test" "$target/librtcswarm.so" "-Wl,-rpath,$build" -pthread
  done
  # shellcheck disable=SC2086
  check "build wrapper" "${CXX:-c++}" -std=c++17 -g -O1 $warnings -Iinclude -Ibindings/c tests/c/wrapper.cpp \
    -o "$build/wrapper" "$target/librtcswarm.so" "-Wl,-rpath,$build" -pthread
  # shellcheck disable=SC2086
  check "build callbacks.c" "${CC:-cc}" -std=c11 -g -O1 $warnings -Iinclude examples/callbacks.c \
    -o "$build/example_callbacks" "$target/librtcswarm.so" "-Wl,-rpath,$build" -pthread
}

plain() {
  programs || return
  for test in $c_tests wrapper example_callbacks; do
    rm -f "$build/$test.status"
    { "$build/$test" 2>&1 || : >"$build/$test.status"; } | sed "s/^/$test: /"
    if [ -f "$build/$test.status" ]; then bad "$test"; else well "$test"; fi
  done
}

valgrind_all() {
  have valgrind || return
  programs || return
  for test in $c_tests wrapper example_callbacks; do
    check "valgrind: $test" env RTCSWARM_TEST_PATIENCE=10 valgrind -q --error-exitcode=99 --leak-check=full \
      --show-leak-kinds=definite,indirect,possible --errors-for-leak-kinds=definite,indirect,possible \
      --child-silent-after-fork=yes --num-callers=40 --suppressions=tests/c/valgrind.supp "$build/$test"
  done
}

[ $# -gt 0 ] || set -- compile plain valgrind install
for part; do
  case $part in
    compile) compile ;;
    plain) plain ;;
    valgrind) valgrind_all ;;
    install) RTCSWARM_TARGET_DIR=$target sh tests/c/install_test.sh || failures=$((failures + 1)) ;;
    *)
      echo "no such part: $part" >&2
      exit 64
      ;;
  esac
done
if [ "$failures" -gt 0 ]; then
  echo "$failures failed"
  exit 1
fi
echo "all well"

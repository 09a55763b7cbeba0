#!/usr/bin/env bash
# `make install` into an empty folder; then an example is built against what is there, and run, in each of the four ways that are promised.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
make --no-print-directory install PREFIX="$prefix" >"$prefix/log" 2>&1 || { cat "$prefix/log" >&2; exit 1; }
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
work="$prefix/work"
mkdir -p "$work"
passed=0

check() { # name, program: the example ends by itself, well
  timeout 60 "$2" >"$work/out" 2>&1 || { echo "install: $1 failed" >&2; cat "$work/out" >&2; exit 1; }
  grep -q hello "$work/out" || { echo "install: $1 heard no hello" >&2; exit 1; }
  echo "ok install: $1"
  passed=$((passed + 1))
}

# shellcheck disable=SC2046 # the flags are words
cc -std=c99 examples/callbacks.c -o "$work/shared" $(pkg-config --cflags --libs rtcswarm)
LD_LIBRARY_PATH="$prefix/lib" check "pkg-config, shared" "$work/shared"
[ "$(LD_LIBRARY_PATH="$prefix/lib" ldd "$work/shared" | grep -c "$prefix/lib/librtcswarm.so.0.1")" = 1 ]

# shellcheck disable=SC2046
cc -std=c99 examples/callbacks.c -o "$work/static" $(pkg-config --cflags rtcswarm) \
  "$prefix/lib/librtcswarm.a" $(pkg-config --static --libs-only-l rtcswarm | sed 's/-lrtcswarm//')
check "pkg-config, static" "$work/static"
ldd "$work/static" | grep -q librtcswarm && { echo "install: static is not static" >&2; exit 1; }

for way in shared static; do
  target=rtcswarm::rtcswarm
  [ "$way" = static ] && target=rtcswarm::static
  mkdir -p "$work/cmake-$way"
  cat >"$work/cmake-$way/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.16)
project(example C CXX)
find_package(rtcswarm 0.1 REQUIRED COMPONENTS $way)
add_executable(example $PWD/examples/callbacks.c)
target_link_libraries(example $target)
add_executable(chat $PWD/examples/chat.cpp)
target_compile_features(chat PRIVATE cxx_std_17)
target_link_libraries(chat $target)
CMAKE
  cmake -S "$work/cmake-$way" -B "$work/cmake-$way/build" -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1 &&
    cmake --build "$work/cmake-$way/build" >>"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  check "CMake, $way" "$work/cmake-$way/build/example"
done

make --no-print-directory uninstall PREFIX="$prefix" >/dev/null
left=$(find "$prefix" -path "$work" -prune -o \( -type f -o -type l \) -not -name log -print)
[ -z "$left" ] || { echo "install: uninstall leaves $left" >&2; exit 1; }
echo "ok install: uninstall"
echo "install: $((passed + 1)) passed, 0 failed"

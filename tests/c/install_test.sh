#!/bin/sh
# Installs the library into an empty place and builds and runs examples against it, four ways: pkg-config and CMake,
# shared and static. Then takes it away again. One line a test.

set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${RTCSWARM_TARGET_DIR:-$root/target/release}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
failures=0
cd "$root" || exit 1
unset LD_LIBRARY_PATH

check() {
  name=$1
  shift
  if "$@" >"$work/output" 2>&1; then
    echo "ok $name"
  else
    echo "FAILED $name"
    sed 's/^/    /' "$work/output"
    failures=$((failures + 1))
  fi
}
have() {
  command -v "$1" >/dev/null 2>&1 && return 0
  if [ "${CI:-}" = true ]; then
    echo "FAILED $1 is missing"
    failures=$((failures + 1))
  else
    echo "skipped: $1 is missing"
  fi
  return 1
}
install_into() { make --no-print-directory "$1" PREFIX="$2" DESTDIR="$3" RELEASE="$target"; }
cc=${CC:-cc}
cxx=${CXX:-c++}

# The programs that are built: the example in C, and a few lines with the C++ wrapper.
cat >"$work/wrapper.cpp" <<'CPP'
#include <rtcswarm.hpp>
int main() {
    rtcswarmpp::Swarm swarm(rtcswarmpp::Config("lobby", "alice"));
    swarm.start();
    swarm.close();
    swarm.run([](const auto &) {});
    return rtcswarmpp::version() == RTCSWARM_TEST_VERSION ? 0 : 1;
}
CPP
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

all_in_place() {
  for file in include/rtcswarm.h include/rtcswarm.hpp lib/librtcswarm.so lib/librtcswarm.a "lib/librtcswarm.so.$version" \
    lib/pkgconfig/rtcswarm.pc lib/cmake/rtcswarm/rtcswarmConfig.cmake lib/cmake/rtcswarm/rtcswarmConfigVersion.cmake \
    share/doc/rtcswarm/LICENSE-MIT share/doc/rtcswarm/LICENSE-APACHE; do
    [ -f "$1/$file" ] || {
      echo "$file is missing"
      return 1
    }
  done
  ! grep -rn '@[A-Z_]*@' "$1/lib/pkgconfig" "$1/lib/cmake" || return 1
}
no_path_of_ours() { ! grep -rlE "$1" "$2/lib/pkgconfig" "$2/lib/cmake" "$2/include"; }

check "install" install_into install "$prefix" ""
check "everything is in place" all_in_place "$prefix"

private_libs_are_rustc_s() {
  wanted=$(echo | rustc --crate-type staticlib --print native-static-libs -o "$work/empty.a" - 2>&1 |
    sed -n 's/.*native-static-libs: //p' | tr ' ' '\n' | grep -vxE -e '-lgcc_s|-lc' | sort | tr '\n' ' ')
  given=$(sed -n 's/^Libs.private: //p' "$prefix/lib/pkgconfig/rtcswarm.pc" | tr ' ' '\n' | sort | tr '\n' ' ')
  echo "rustc: $wanted; rtcswarm.pc: $given"
  [ "$wanted" = "$given" ]
}
check "Libs.private is what rustc says" private_libs_are_rustc_s

export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
with_pkg_config() { # static or shared
  if [ "$1" = static ]; then
    # glibc warns that look-ups of names need its shared libraries at run time: true, and not ours to change.
    flags=$(pkg-config --static --cflags --libs rtcswarm) && link="-static"
  else
    flags=$(pkg-config --cflags --libs rtcswarm) && link="-Wl,-rpath,$prefix/lib"
  fi || return 1
  # shellcheck disable=SC2086
  "$cc" -Wall -Wextra examples/callbacks.c -o "$work/callbacks" $link $flags -pthread || return 1
  # shellcheck disable=SC2086
  "$cc" -Wall -Wextra examples/chat.c -o "$work/chat" $link $flags || return 1
  # shellcheck disable=SC2086
  "$cxx" -std=c++17 -Wall -Wextra "-DRTCSWARM_TEST_VERSION=\"$version\"" "$work/wrapper.cpp" -o "$work/wrapper" \
    $link $flags || return 1
  "$work/callbacks" | grep -q "alice: bob says hello" && "$work/wrapper" || return 1
  if [ "$1" = static ]; then
    ! readelf -d "$work/callbacks" | grep NEEDED
  else
    readelf -d "$work/callbacks" | grep "NEEDED.*librtcswarm"
  fi
}
if have pkg-config; then
  check "pkg-config, shared" with_pkg_config shared
  check "pkg-config, static" with_pkg_config static
  check "pkg-config knows the version" pkg-config --exact-version="$version" rtcswarm
fi

mkdir -p "$work/cmake"
cat >"$work/cmake/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.13)
project(uses_rtcswarm C CXX)
set(CMAKE_CXX_STANDARD 17)
find_package(rtcswarm ${WANTED} REQUIRED)
find_package(Threads REQUIRED)
foreach(kind rtcswarm static)
  add_executable(callbacks_${kind} ${ROOT}/examples/callbacks.c)
  target_link_libraries(callbacks_${kind} PRIVATE rtcswarm::${kind} Threads::Threads)
  add_executable(wrapper_${kind} ${WORK}/wrapper.cpp)
  target_compile_definitions(wrapper_${kind} PRIVATE RTCSWARM_TEST_VERSION="${WANTED}")
  target_link_libraries(wrapper_${kind} PRIVATE rtcswarm::${kind})
endforeach()
CMAKE
configure() { # version, prefix
  rm -rf "$work/cmake/build"
  cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_PREFIX_PATH="$2" -DROOT="$root" -DWORK="$work" -DWANTED="$1"
}
runs() { # target
  cmake --build "$work/cmake/build" --target "callbacks_$1" "wrapper_$1" || return 1
  "$work/cmake/build/callbacks_$1" | grep -q "bob: alice says hello" && "$work/cmake/build/wrapper_$1" || return 1
  if [ "$1" = static ]; then
    ! readelf -d "$work/cmake/build/callbacks_$1" | grep librtcswarm
  else
    readelf -d "$work/cmake/build/callbacks_$1" | grep "NEEDED.*librtcswarm"
  fi
}
refuses() { ! configure "$1" "$prefix"; }
if have cmake; then
  check "CMake finds it" configure "$version" "$prefix"
  check "CMake, shared" runs rtcswarm
  check "CMake, static" runs static
  check "CMake refuses a later version" refuses 0.99.0
  check "CMake refuses a later interface" refuses 1.0
  check "CMake refuses an earlier interface" refuses 0.0.1
fi

check "install with DESTDIR" install_into install /opt/rtcswarm "$work/stage"
check "everything is in place under DESTDIR" all_in_place "$work/stage/opt/rtcswarm"
check "no file names the stage" no_path_of_ours "$work" "$work/stage/opt/rtcswarm"
if have cmake; then
  # The CMake package may be moved.
  mv "$work/stage/opt/rtcswarm" "$work/moved"
  check "CMake finds it where it was moved" configure "$version" "$work/moved"
fi

nothing_is_left() { [ -z "$(find "$prefix" ! -type d)" ]; }
check "uninstall" install_into uninstall "$prefix" ""
check "nothing is left" nothing_is_left

[ "$failures" -eq 0 ]

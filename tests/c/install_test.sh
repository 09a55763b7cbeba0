#!/bin/sh
# Installs the library into an empty place and builds and runs examples against it: by pkg-config and by CMake's
# find_package, shared and static. Then takes it away again. Then by FetchContent, without installing. One line a test.

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

# What the shared library is. A distributor's limit on its size, too: 6 MiB.
library=$prefix/lib/librtcswarm.so.$version
interface=$(echo "$version" | sed -E 's/^(0\.[0-9]+|[1-9][0-9]*)\..*/\1/')
is_small() {
  size=$(wc -c <"$library")
  echo "$size bytes"
  [ "$size" -le 6291456 ] && ! readelf -S --wide "$library" | grep -E '\.(symtab|debug_)'
}
is_named_and_stays() {
  readelf --dynamic --wide "$library" >"$work/dynamic"
  cat "$work/dynamic"
  grep -qF "[librtcswarm.so.$interface]" "$work/dynamic" && grep -q NODELETE "$work/dynamic"
}
# The functions of the header, no more and no less, each with the version of this interface.
exports_the_header() {
  sed -e 's,/\*.*\*/,,' -e '/\/\*/,/\*\//d' include/rtcswarm.h | grep -v typedef |
    grep -o 'rtcswarm_[a-z0-9_]*(' | sed "s/(/@@RTCSWARM_$interface/" | sort -u >"$work/declared"
  nm --dynamic --defined-only --with-symbol-versions "$library" | awk '$2 != "A" { print $3 }' | sort >"$work/exported"
  [ "$(wc -l <"$work/declared")" -gt 50 ] && diff "$work/declared" "$work/exported"
}
check "the shared library has 6 MiB at most" is_small
check "the shared library has its name and stays loaded" is_named_and_stays
check "the shared library exports the header, with a version" exports_the_header

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
    readelf -d "$work/callbacks" | grep "NEEDED.*librtcswarm" && needs_the_version "$work/callbacks"
  fi
}
needs_the_version() { nm --dynamic --with-symbol-versions "$1" | grep -q "U rtcswarm_new@RTCSWARM_$interface"; }
# The loader refuses a library with the right name and another interface.
loader_refuses() {
  mkdir -p "$work/other"
  sed "s/@INTERFACE@/9.9/" bindings/c/rtcswarm.map.in >"$work/other/map"
  sed "s/^/void /; s/@@.*/(void) {}/" "$work/declared" >"$work/other/library.c"
  "$cc" -shared -fPIC -w "$work/other/library.c" -Wl,--version-script="$work/other/map" \
    -Wl,-soname,"librtcswarm.so.$interface" -o "$work/other/librtcswarm.so.$interface" || return 1
  LD_LIBRARY_PATH=$work/other "$work/callbacks" >"$work/loader" 2>&1 && return 1
  cat "$work/loader"
  grep -q "version .RTCSWARM_$interface. not found" "$work/loader"
}
if have pkg-config; then
  check "pkg-config, shared" with_pkg_config shared
  check "the loader refuses another interface" loader_refuses
  check "pkg-config, static" with_pkg_config static
  check "pkg-config knows the version" pkg-config --exact-version="$version" rtcswarm
fi

mkdir -p "$work/cmake"
cat >"$work/cmake/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.18)
project(uses_rtcswarm C CXX)
set(CMAKE_CXX_STANDARD 17)
if(FETCH)
  include(FetchContent)
  FetchContent_Declare(rtcswarm SOURCE_DIR ${ROOT} SOURCE_SUBDIR bindings/c)
  FetchContent_MakeAvailable(rtcswarm)
else()
  find_package(rtcswarm ${WANTED} REQUIRED ${COMPONENTS})
endif()
find_package(Threads REQUIRED)
set(kinds)
foreach(kind rtcswarm static)
  if(TARGET rtcswarm::${kind})
    list(APPEND kinds ${kind})
  endif()
endforeach()
if(KINDS AND NOT KINDS STREQUAL "${kinds}")
  message(FATAL_ERROR "the targets are ${kinds}, not ${KINDS}")
endif()
foreach(kind IN LISTS kinds)
  add_executable(callbacks_${kind} ${ROOT}/examples/callbacks.c)
  target_link_libraries(callbacks_${kind} PRIVATE rtcswarm::${kind} Threads::Threads)
  add_executable(wrapper_${kind} ${WORK}/wrapper.cpp)
  target_compile_definitions(wrapper_${kind} PRIVATE RTCSWARM_TEST_VERSION="${VERSION}")
  target_link_libraries(wrapper_${kind} PRIVATE rtcswarm::${kind})
endforeach()
CMAKE
configure() { # version, prefix, options
  wanted=$1 where=$2
  shift 2
  rm -rf "$work/cmake/build"
  cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_PREFIX_PATH="$where" -DROOT="$root" -DWORK="$work" \
    -DWANTED="$wanted" -DVERSION="$version" "$@"
}
runs() { # target
  cmake --build "$work/cmake/build" --target "callbacks_$1" "wrapper_$1" || return 1
  "$work/cmake/build/callbacks_$1" | grep -q "bob: alice says hello" && "$work/cmake/build/wrapper_$1" || return 1
  if [ "$1" = static ]; then
    ! readelf -d "$work/cmake/build/callbacks_$1" | grep librtcswarm
  else
    readelf -d "$work/cmake/build/callbacks_$1" | grep "NEEDED.*librtcswarm" &&
      needs_the_version "$work/cmake/build/callbacks_$1"
  fi
}
refuses() { # words of the refusal, version, options
  words=$1 refused=$2
  shift 2
  configure "$refused" "$prefix" "$@" >"$work/refusal" 2>&1 && return 1
  cat "$work/refusal"
  tr '\n' ' ' <"$work/refusal" | tr -s ' ' | grep -q "$words"
}
without() { # a file, and what is to be done without it
  mv "$prefix/lib/$1" "$work/away"
  file=$1
  shift
  "$@"
  status=$?
  mv "$work/away" "$prefix/lib/$file"
  return $status
}
if have cmake; then
  check "CMake finds it" configure "$version" "$prefix"
  check "CMake, shared" runs rtcswarm
  check "CMake, static" runs static
  check "CMake refuses a later version" refuses "version: $version" 0.99.0
  check "CMake refuses a later interface" refuses "version: $version" 1.0
  check "CMake refuses an earlier interface" refuses "version: $version" 0.0.1
  check "CMake, COMPONENTS shared" configure "$version" "$prefix" "-DCOMPONENTS=COMPONENTS;shared" -DKINDS=rtcswarm
  check "CMake, COMPONENTS static" configure "$version" "$prefix" "-DCOMPONENTS=COMPONENTS;static" -DKINDS=static
  check "CMake, COMPONENTS shared static" configure "$version" "$prefix" "-DCOMPONENTS=COMPONENTS;shared;static" \
    "-DKINDS=rtcswarm;static"
  check "CMake, an optional component that there is not" configure "$version" "$prefix" \
    "-DCOMPONENTS=COMPONENTS;shared;OPTIONAL_COMPONENTS;more" -DKINDS=rtcswarm
  check "CMake refuses an unknown component" refuses "no component more" "$version" "-DCOMPONENTS=COMPONENTS;shared;more"
  check "CMake refuses a component that is not installed" without librtcswarm.a refuses "no component static" "$version" \
    "-DCOMPONENTS=COMPONENTS;static"
  check "CMake, without the static library" without librtcswarm.a configure "$version" "$prefix" -DKINDS=rtcswarm
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

# As docs/c.md shows it.
mkdir -p "$work/find" "$work/fetch"
cat >"$work/find/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.18)
project(hello C)
find_package(rtcswarm 0.1 REQUIRED COMPONENTS shared)
add_executable(hello hello.c)
target_link_libraries(hello PRIVATE rtcswarm::rtcswarm)
CMAKE
cat >"$work/fetch/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.18)
project(hello C)
include(FetchContent)
FetchContent_Declare(rtcswarm SOURCE_DIR ${ROOT} SOURCE_SUBDIR bindings/c)
FetchContent_MakeAvailable(rtcswarm)
add_executable(hello hello.c)
target_link_libraries(hello PRIVATE rtcswarm::rtcswarm)
CMAKE
guide() { # find or fetch, options
  where=$work/$1
  shift
  cp examples/hello.c "$where" && cmake -S "$where" -B "$where/build" "$@" && cmake --build "$where/build" || return 1
  needs_the_version "$where/build/hello" || return 1
  # Without a user it cannot join, which the library says.
  env -u RTCSWARM_USER -u RTCSWARM_URL -u RTCSWARM_TOKEN "$where/build/hello" >"$work/hello" 2>&1
  [ $? -eq 1 ] && cat "$work/hello" && grep -q "is NULL" "$work/hello"
}
fetches() { configure "" "" -DFETCH=ON "-DKINDS=rtcswarm;static" "$@" && runs rtcswarm && runs static; }
if have cmake; then
  check "CMake, as the guide shows it" guide find -DCMAKE_PREFIX_PATH="$work/moved"
  check "FetchContent, with what was built" fetches -DRTCSWARM_PREBUILT_DIR="$target"
  # Cargo is asked, and finds all there is fresh.
  check "FetchContent, by Cargo, as the guide shows it" guide fetch -DROOT="$root" \
    -DRTCSWARM_CARGO_TARGET_DIR="${target%/release}" -DRTCSWARM_CARGO_FLAGS=
fi

[ "$failures" -eq 0 ]

#!/usr/bin/env bash
# Builds examples/swift and puts build/chat-swift and build/hello-swift in place, which run on this machine whether or not Swift
# is on it: Swift's library is linked into them, and where they were built in a chroot they bring its C library along.
#
# Where neither is to be had it says so and makes none.
#
#   cargo build --release && bindings/swift/build-chat.sh [--if-there]     does not make a chroot, but takes one that is there
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/toolchain.sh"

if [ "${1:-}" = --if-there ] && ! command -v swift >/dev/null && ! chroot_is_there; then
  cannot "Swift 6 is missing; on Debian, as root, bindings/swift/prepare.sh makes a chroot that has it"
fi
find_swift
stage_all
timed "building the examples" build_examples

place=$root/build
runtime=$place/swift-runtime
rm -rf "$runtime"
mkdir -p "$runtime"
cp -L "$stage"/prefix/lib/librtcswarm.so.* "$runtime"
loader=
if [ -n "$chroot" ]; then
  # Programs of a newer Debian want its C library, with the loader that belongs to it.
  in_swift programs ldd chat-swift | awk '/=> \//{ print $3 } /^\t\/.*ld-/{ print $1 }' | grep -v librtcswarm |
    while read -r library; do
      cp -L "$chroot$library" "$runtime"
    done
  loader=$(cd "$runtime" && echo ld-*)
fi
for example in chat hello; do
  cp "$stage/programs/$example-swift" "$runtime/$example"
  {
    echo '#!/bin/sh'
    # shellcheck disable=SC2016
    echo 'runtime=$(dirname "$(readlink -f "$0")")/swift-runtime'
    if [ -n "$loader" ]; then
      echo "exec \"\$runtime/$loader\" --library-path \"\$runtime\" \"\$runtime/$example\" \"\$@\""
    else
      echo "LD_LIBRARY_PATH=\"\$runtime\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}\" exec \"\$runtime/$example\" \"\$@\""
    fi
  } >"$place/$example-swift"
  chmod +x "$place/$example-swift"
done
echo "swift: $place/chat-swift and $place/hello-swift are there"

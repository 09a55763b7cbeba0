#!/usr/bin/env bash
# The tests of the Swift package, against the library and the server of a release build; toolchain.sh says what it needs and
# which variables it heeds. Where that is missing it says so in one line, and with CI=true fails.
#
#   cargo build --release && bindings/swift/test.sh [what `swift test` takes, such as --filter MediaTests]
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/toolchain.sh"

compile_peers() {
  local program
  for program in chat:chat media_send:media-send media_record:media-record; do
    in_swift src cc -std=c99 -O1 -Wall -Wextra -Werror -Iinclude "examples/${program%:*}.c" \
      -o "$inside/programs/${program#*:}-c" -L"$inside/prefix/lib" -lrtcswarm
  done
}

# Warnings of SwiftPM's own, such as of a file that belongs to no target, are failures too.
build() {
  local log=$stage/build.log
  in_swift src swift build --build-tests --scratch-path "$inside/build" "${swift_flags[@]}" >"$log" 2>&1 || {
    grep -v '^\[' "$log" >&2
    return 1
  }
  if grep '^warning:' "$log" >&2; then
    return 1
  fi
}

# As a package of somebody's that has this one by its git URL.
depend() {
  local clone=$stage/clone user=$stage/user
  rm -rf "$clone" "$user" "$stage/user-build"
  mkdir -p "$user/Sources"
  cp -r "$stage/src" "$clone"
  in_swift clone git init -q
  in_swift clone git add .
  in_swift clone git -c user.name=test -c user.email=test@example.org commit -qm test
  in_swift clone git tag 0.1.0
  cp -r "$root/examples/swift/Sources/hello" "$user/Sources"
  cat >"$user/Package.swift" <<END
// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "user",
    platforms: [.macOS(.v13)],
    dependencies: [.package(url: "file://$inside/clone", from: "0.1.0")],
    targets: [.executableTarget(name: "hello", dependencies: [.product(name: "RTCSwarm", package: "clone")])]
)
END
  in_swift user swift build --scratch-path "$inside/user-build" "${swift_flags[@]}" >"$stage/user.log" 2>&1 || {
    cat "$stage/user.log" >&2
    return 1
  }
  # It runs, and says what it lacks.
  ! in_swift user "$inside/user-build/debug/hello" >"$stage/user.log" 2>&1 && grep -q 'RTCSWARM_USER.* is not set' "$stage/user.log"
}

# The manifest with an XCFramework, as far as it can be looked at here.
describe_framework() {
  mkdir -p "$stage/src/build/CRtcSwarm.xcframework"
  in_swift src env RTCSWARM_XCFRAMEWORK=build/CRtcSwarm.xcframework swift package --scratch-path "$inside/build-framework" \
    dump-package | tr -d ' \n' | grep -q '"name":"CRtcSwarm","packageAccess":false,"path":"build/CRtcSwarm.xcframework"'
}

run() {
  local limit=()
  command -v timeout >/dev/null && limit=(timeout 600)
  in_swift src "${limit[@]}" swift test --skip-build --scratch-path "$inside/build" "$@" >"$stage/test.log" 2>&1 || {
    grep -v 'started\.$\|started at' "$stage/test.log" >&2
    return 1
  }
  # A run without tests is none.
  grep -E 'Test run with [1-9][0-9]* tests?( in [0-9]+ suites?)? passed' "$stage/test.log" || {
    cat "$stage/test.log" >&2
    echo "swift: no line of the tests' output says that any has run and passed" >&2
    return 1
  }
}

# Whoever names a folder of theirs by mistake keeps it.
spare_folders() {
  local chroot
  chroot=$(mktemp -d)
  echo precious >"$chroot/theirs"
  ! claim_chroot 2>/dev/null && [ "$(cat "$chroot/theirs")" = precious ] && [ ! -e "$chroot/$marker" ] &&
    rm "$chroot/theirs" || return 1
  # One that was empty is taken, and is emptied again.
  claim_chroot && touch "$chroot/ours" && claim_chroot && [ "$(ls -A "$chroot")" = "$marker" ] || return 1
  rm -r "$chroot"
}

timed "sparing folders of others" spare_folders
find_swift
stage_all
timed "building the peers in C" compile_peers
timed "building the examples" build_examples
timed "building the package and its tests" build
timed "running the tests" run "$@"
timed "a package that depends on this one by git" depend
describe_framework
echo "swift: all is well"

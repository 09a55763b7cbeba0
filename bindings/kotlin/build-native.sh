#!/usr/bin/env bash
# The native libraries of this machine, to where Maven takes them from: the shim, which is built, and librtcswarm.so out of
# RTCSWARM_TARGET (default: target/release of the repository, where `cargo build --release` puts it).
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
RTCSWARM_TARGET=$(cd "${RTCSWARM_TARGET:-$root/target/release}" && pwd) || exit 1
export RTCSWARM_TARGET

case "$(uname -s)" in
  Darwin) system=macos suffix=dylib ;;
  *) system=linux suffix=so ;;
esac
case "$(uname -m)" in
  x86_64 | amd64) machine=x86-64 ;;
  arm64) machine=aarch64 ;;
  *) machine=$(uname -m) ;;
esac

library=$RTCSWARM_TARGET/librtcswarm.$suffix
[ -e "$library" ] || { echo "kotlin: $library is missing: cargo build --release makes it" >&2; exit 1; }
cargo build --quiet --release --package rtcswarm-jni --manifest-path "$root/Cargo.toml"
shim=${CARGO_TARGET_DIR:-$root/target}/release/librtcswarm_jni.$suffix

into=target/native/$system-$machine
mkdir -p "$into"
for file in "$library" "$shim"; do
  # Without what only debuggers read; and by a rename, as a JVM may have it mapped.
  cp -L "$file" "$into/new"
  strip --strip-debug "$into/new" 2>/dev/null || true
  mv "$into/new" "$into/$(basename "$file")"
done

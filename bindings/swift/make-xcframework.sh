#!/usr/bin/env bash
# Makes build/CRtcSwarm.xcframework for the Swift package: the static library for iOS, its simulator and macOS, with header and
# module map. On a Mac, with Xcode and with the Rust targets that are named below (`rustup target add`).
#
# It has never been run: there was no Mac to run it on.
#
#   bindings/swift/make-xcframework.sh && RTCSWARM_XCFRAMEWORK=build/CRtcSwarm.xcframework swift build
set -euo pipefail
cd "$(dirname "$0")/../.."
export IPHONEOS_DEPLOYMENT_TARGET=16.0 MACOSX_DEPLOYMENT_TARGET=13.0
library=librtcswarm.a
work=build/xcframework

for rust in aarch64-apple-ios aarch64-apple-ios-sim x86_64-apple-ios aarch64-apple-darwin x86_64-apple-darwin; do
  # Without the signaling server, which a library does not need.
  cargo build --release --lib --no-default-features --target "$rust"
done

rm -rf "$work" build/CRtcSwarm.xcframework
mkdir -p "$work"/{device,simulator,mac} "$work/headers"
cp include/rtcswarm.h "$work/headers"
printf 'module CRtcSwarm [system] {\n    header "rtcswarm.h"\n    export *\n}\n' >"$work/headers/module.modulemap"
cp "target/aarch64-apple-ios/release/$library" "$work/device"
lipo -create -output "$work/simulator/$library" target/{aarch64-apple-ios-sim,x86_64-apple-ios}/release/"$library"
lipo -create -output "$work/mac/$library" target/{aarch64,x86_64}-apple-darwin/release/"$library"

xcodebuild -create-xcframework \
  -library "$work/device/$library" -headers "$work/headers" \
  -library "$work/simulator/$library" -headers "$work/headers" \
  -library "$work/mac/$library" -headers "$work/headers" \
  -output build/CRtcSwarm.xcframework

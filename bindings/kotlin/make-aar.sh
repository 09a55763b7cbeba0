#!/usr/bin/env bash
# Makes target/rtcswarm-0.1.0.aar for Android 7.0 (API level 24) and newer: the package, and the native library for four kinds of processors,
# one file each, with pages of 16 KiB.
#
# NOT RUN YET by anybody: it takes the Android NDK (ANDROID_NDK_HOME), cargo-ndk, and the Rust targets aarch64-linux-android,
# armv7-linux-androideabi, x86_64-linux-android and i686-linux-android, which the machine of this project has not.
set -euo pipefail
cd "$(dirname "$0")"
for tool in cargo-ndk mvn zip unzip; do
  command -v "$tool" >/dev/null || { echo "aar: $tool is missing" >&2; exit 1; }
done
: "${ANDROID_NDK_HOME:?aar: the folder of the Android NDK}"
root=$(cd ../.. && pwd)
out=$PWD/target/aar
rm -rf "$out"
mkdir -p "$out/jni" "$out/classes"

export RUSTFLAGS="${RUSTFLAGS:-} -C link-arg=-Wl,-z,max-page-size=16384"
cargo ndk --platform 24 --target arm64-v8a --target armeabi-v7a --target x86_64 --target x86 --output-dir "$out/jni" \
  build --release --package rtcswarm-jni --features bundled --manifest-path "$root/Cargo.toml"

# What else Cargo has made on the way is inside of the shim.
find "$out/jni" -name '*.so' ! -name librtcswarm_jni.so -delete

# The jar of desktops, without the libraries of desktops.
mvn --quiet --batch-mode package -DskipTests
unzip -q -d "$out/classes" target/rtcswarm-kotlin-0.1.0.jar
cp "$out/classes/META-INF/proguard/rtcswarm.pro" "$out/proguard.txt"
rm -rf "$out/classes/native"
(cd "$out/classes" && zip -q -r ../classes.jar .)
rm -r "$out/classes"
cat >"$out/AndroidManifest.xml" <<'XML'
<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="rtcswarm">
  <uses-sdk android:minSdkVersion="24" />
  <uses-permission android:name="android.permission.INTERNET" />
  <uses-permission android:name="android.permission.ACCESS_NETWORK_STATE" />
</manifest>
XML
touch "$out/R.txt"
rm -f target/rtcswarm-0.1.0.aar
(cd "$out" && zip -q -r ../rtcswarm-0.1.0.aar .)
echo "target/rtcswarm-0.1.0.aar: an app needs kotlinx-coroutines-android beside it"

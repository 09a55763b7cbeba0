#!/usr/bin/env bash
# All tests but the linters, which `make test` runs before. A tool that is missing is said in one line; with CI=true it is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
export RTCSWARM_LIBRARY="$PWD/target/release/librtcswarm.so"
[ "$(uname -s)" = Darwin ] && RTCSWARM_LIBRARY="${RTCSWARM_LIBRARY%.so}.dylib"
venv="${VENV:-build/venv}"
mkdir -p build
trap 'kill "${tests:-}" "${swift:-}" 2>/dev/null || true' EXIT

# With the minutes and seconds since the first.
step() { printf '\n== %d:%02d %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$1"; }

step "Rust: units, swarms over loopback, server, simulator, STUN and TURN, emulated networks, a soak, header"
# The tests are compiled beside the library, whose last stage is the work of one core.
cargo test --no-run >build/cargo-test.log 2>&1 &
tests=$!
make --no-print-directory build
wait $tests || {
  cat build/cargo-test.log
  exit 1
}
tests=
cargo test --quiet
step "C and C++: compile matrix, contract, valgrind, ABI, installed by pkg-config and CMake, Debian packages"
tests/c/run.sh
step "References of C and Rust, without a warning"
if [ "${CI:-}" = true ] || command -v doxygen >/dev/null; then make --no-print-directory docs; fi
step "Python: types, the package, its wheel and sdist, the examples, the guide"
(cd bindings/python && "../../$venv/bin/mypy")
PYTHONPATH=bindings/python "$venv/bin/python" -m pytest -q bindings/python/tests
# Each leaves a core idle half of its time: the compilers run on one, and the tests wait for deadlines.
bindings/swift/test.sh >build/swift-test.log 2>&1 &
swift=$!
step "Kotlin: two peers, one in Python, media, JNI under stress, the guide"
bindings/kotlin/test.sh
step "Swift: two peers, peers in C, media, the guide, a package that depends on this one"
wait $swift || {
  cat build/swift-test.log
  exit 1
}
swift=
cat build/swift-test.log
step "Browser: the JS original in Chromium and in Node, in one room with native peers"
tests/browser/run.sh
step "README: its examples as they stand there"
make --no-print-directory examples >/dev/null
bindings/kotlin/build-chat.sh
bindings/swift/build-chat.sh
"$venv/bin/python" scripts/readme_test.py
step "Chat: one in each language, in one room"
"$venv/bin/python" scripts/chat_test.py
step "Guides: what they show is what is run"
"$venv/bin/python" scripts/docs_test.py
step "Demo: with HOLD=1 it stays, and is joined by the command that it prints"
"$venv/bin/python" scripts/hold_test.py
step "Page: the mesh in a real Chromium, with native members"
make --no-print-directory page
page/test.sh
missing=()
for tool in ip nft turnserver valgrind gcc clang g++ clang++ cmake pkg-config node ffmpeg abidiff doxygen mmdebstrap lintian dpkg-shlibdeps mvn javac shellcheck; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
[ -x build/chat-swift ] || missing+=("Swift 6, or debootstrap as root")
[ -n "${CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome >/dev/null || missing+=(chromium)
if [ ${#missing[@]} -gt 0 ]; then
  printf '\nThe tests that were run passed. Not run: what needs %s.\n' "${missing[*]}"
else
  printf '\nAll tests passed.\n'
fi

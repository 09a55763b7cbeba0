#!/usr/bin/env bash
# Builds the shim and the package, and tests them against the real library: RTCSWARM_TARGET (default: target/release of the repository) has
# librtcswarm.so and rtcswarm-server. Needs a JDK of 17 or newer, Maven, cargo, and Python (PYTHON) for the peers in Python.
set -euo pipefail
cd "$(dirname "$0")"
for tool in java mvn cargo "${PYTHON:-python3}"; do
  if ! command -v "$tool" >/dev/null; then
    echo "kotlin: not tested, $tool is missing" >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
  fi
done
./build-native.sh
mvn --quiet --batch-mode verify
# What Maven prints when all is well is nothing.
tests=$(sed -n 's/.*<testsuite .* tests="\([0-9]*\)".*/\1/p' target/surefire-reports/TEST-*.xml | awk '{ sum += $1 } END { print sum }')
echo "ok kotlin: $tests tests"

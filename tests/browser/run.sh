#!/usr/bin/env bash
# The JS original, unchanged, in Chromium and in Node, in one room with native peers. Wants target/release built.
#
# Arguments are passed to `node --test`; without any, every *.test.mjs runs. ROOMS=all and CONNECTIONS=500 make the tests larger.
# What is missing is said in one line; with CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$0")"

missing() {
  echo "tests/browser: $1" >&2
  if [ "${CI:-}" = true ]; then exit 1; fi
  echo "tests/browser: NOT RUN" >&2
  exit 0
}

command -v node >/dev/null || missing "node is missing: install Node.js 20 or newer"
command -v npm >/dev/null || missing "npm is missing: install it beside Node.js"
command -v python3 >/dev/null || missing "python3 is missing: install Python 3.9 or newer"
[ "$(node -p 'parseInt(process.versions.node) >= 20')" = true ] || missing "node $(node --version) is too old: install Node.js 20 or newer"
[ -n "${CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome >/dev/null ||
  missing "chromium is missing: install it, or say by CHROMIUM where it is"
command -v ffmpeg >/dev/null || missing "ffmpeg is missing: it makes what native peers send, and decodes what tabs do"

# Anew only when the lock file is another than the one that was installed.
stamp=node_modules/.installed
cmp -s package-lock.json "$stamp" || { npm ci --no-fund --no-audit --loglevel=error; cp package-lock.json "$stamp"; }

# One file at a time: what is measured should not compete with the rest.
[ $# -gt 0 ] || set -- *.test.mjs
exec node --test --test-concurrency=1 --test-reporter=spec "$@"

#!/usr/bin/env bash
# The page in a real Chromium. Wants the page, the server, the library and the chat programs built, and says what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
export CHROMIUM="${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}"
[ -n "$CHROMIUM" ] || { echo "page: Chromium is missing: install it (Debian: chromium), or name it in CHROMIUM" >&2; exit 1; }
exec node --test --test-reporter=spec page/test.mjs

#!/usr/bin/env bash
# Makes the chroot with Swift, if there is to be one: it needs no build of the library, so it can be made meanwhile.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/toolchain.sh"
find_swift
echo "swift: Swift is there"

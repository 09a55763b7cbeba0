#!/usr/bin/env bash
# Holds vendor/rtc-sctp to what it says it is: the package as it is published, and vendor/rtc-sctp.patch. With "renew": makes it so.
set -euo pipefail
cd "$(dirname "$0")/.."
package=rtc-sctp version=0.21.1
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

mkdir "$scratch/src"
touch "$scratch/src/lib.rs"
printf '[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n[workspace]\n' "$package" "$version" >"$scratch/Cargo.toml"
# Without the registry if cargo has the package already.
metadata() { cargo metadata --format-version 1 --quiet --offline 2>/dev/null || cargo metadata --format-version 1 --quiet; }
published="$(cd "$scratch" && metadata |
  python3 -c 'import json, sys; print(*(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == sys.argv[1]))' "$package")"
cp -r "$(dirname "$published")/src" "$scratch/published"
find "$scratch/published" -name '*_test.rs' -delete
patch --quiet --no-backup-if-mismatch --directory "$scratch/published" --strip 1 <"vendor/$package.patch"

if [ "${1:-}" = renew ]; then
  rm -r "vendor/$package/src"
  cp -r "$scratch/published" "vendor/$package/src"
else
  diff -r "$scratch/published" "vendor/$package/src" || {
    echo "vendor.sh: vendor/$package is not $package $version and vendor/$package.patch" >&2
    exit 1
  }
fi

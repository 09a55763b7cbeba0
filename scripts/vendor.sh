#!/usr/bin/env bash
# Holds the packages in vendor to what they say they are: as they are published, and vendor/NAME.patch. With "renew": makes them so.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v patch >/dev/null || { echo "vendor.sh: patch is missing: install it (Debian: patch)" >&2; exit 1; }
version=0.21.1
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
# Without the registry if cargo has the package already.
metadata() { cargo metadata --format-version 1 --quiet --offline 2>/dev/null || cargo metadata --format-version 1 --quiet; }

for package in rtc-datachannel rtc-sctp; do
  mkdir -p "$scratch/$package/src"
  touch "$scratch/$package/src/lib.rs"
  printf '[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n[workspace]\n' "$package" "$version" >"$scratch/$package/Cargo.toml"
  manifest="$(cd "$scratch/$package" && metadata |
    python3 -c 'import json, sys; print(*(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == sys.argv[1]))' "$package")"
  published="$scratch/$package/published"
  cp -r "$(dirname "$manifest")/src" "$published"
  find "$published" -name '*_test.rs' -delete
  patch --quiet --no-backup-if-mismatch --directory "$published" --strip 1 <"vendor/$package.patch"
  if [ "${1:-}" = renew ]; then
    rm -rf "vendor/$package/src"
    cp -r "$published" "vendor/$package/src"
  else
    diff -r "$published" "vendor/$package/src" || {
      echo "vendor.sh: vendor/$package is not $package $version and vendor/$package.patch" >&2
      exit 1
    }
  fi
done

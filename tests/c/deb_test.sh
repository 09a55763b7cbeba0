#!/bin/sh
# The Debian packages in a fresh system of this machine's release, in a chroot: installed, an example compiled, linked and run
# there, the server tried, and purged without a trace. Needs root, mmdebstrap and dpkg-dev. One line a test.
#
# The system is kept in build/deb-chroot, and made anew when it is gone or a test has failed in it.

set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${RTCSWARM_TARGET_DIR:-$root/target/release}
chroot=${DEB_CHROOT:-$root/build/deb-chroot}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
cd "$root" || exit 1

check() {
  name=$1
  shift
  if "$@" >"$work/output" 2>&1; then
    echo "ok $name"
  else
    echo "FAILED $name"
    tail -n 40 "$work/output" | sed 's/^/    /'
    failures=$((failures + 1))
  fi
}
skip() {
  if [ "${CI:-}" = true ]; then
    echo "FAILED Debian packages: $1"
    exit 1
  fi
  echo "skipped: Debian packages: $1"
  exit 0
}
[ "$(id -u)" -eq 0 ] || skip "not root"
for tool in mmdebstrap dpkg-shlibdeps chroot; do
  command -v "$tool" >/dev/null 2>&1 || skip "$tool is missing"
done

# From where this machine has its own packages.
make_chroot() {
  rm -rf "$chroot"
  mkdir -p "$(dirname "$chroot")"
  # shellcheck disable=SC1091
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  # shellcheck disable=SC2016
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    sort -u >"$work/sources.list"
  [ -s "$work/sources.list" ] || {
    echo "apt knows no sources of Debian"
    return 1
  }
  mmdebstrap --quiet --variant=minbase --include=gcc,libc6-dev,pkg-config "$suite" "$chroot" "$work/sources.list" &&
    touch "$chroot/made"
}
[ -f "$chroot/made" ] || check "a fresh system" make_chroot
[ -f "$chroot/made" ] || exit 1

inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$chroot" "$@"; }
# What is there, but for what dpkg and the loader remember.
listing() {
  (cd "$chroot" && find . -xdev \( -path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache -o -path ./tmp \
    -o -path ./etc/ld.so.cache -o -path ./proc -o -path ./sys -o -path ./dev \) -prune -o -print | LC_ALL=C sort)
}

built() {
  DEB_LEVEL=1 make --no-print-directory deb CARGO=true RELEASE="$target" BUILD="$work/build" &&
    [ "$(find "$work/build/deb" -name '*.deb' | wc -l)" -eq 3 ]
}
check "make deb" built
[ "$failures" -eq 0 ] || exit 1

fields() { # each package names what it needs
  for package in "$work"/build/deb/*.deb; do
    dpkg-deb --field "$package" Package Depends || return 1
    dpkg-deb --field "$package" Depends | grep -qE 'libc6 \(>= |librtcswarm[0-9.]+ \(= ' || return 1
  done
  dpkg-deb --info "$work"/build/deb/librtcswarm0*.deb symbols | grep "rtcswarm_new@RTCSWARM_"
}
lints() {
  lintian --fail-on error --suppress-tags embedded-library,bad-distribution-in-changes-file "$work"/build/deb/*.deb
}
check "what the packages say of themselves" fields
if command -v lintian >/dev/null 2>&1; then
  check "lintian finds no error" lints
elif [ "${CI:-}" = true ]; then
  check "lintian is there" false
else
  echo "skipped: lintian is missing"
fi

listing >"$work/before"
rm -rf "$chroot/tmp/packages"
mkdir -p "$chroot/tmp/packages"
cp "$work"/build/deb/*.deb examples/callbacks.c "$chroot/tmp/packages/"
installs() { inside sh -c 'dpkg --install /tmp/packages/*.deb' && inside sh -c 'ldconfig -p | grep librtcswarm'; }
# shellcheck disable=SC2016
shared() {
  inside sh -ec 'cd /tmp/packages
    gcc -Wall -Werror callbacks.c -o shared $(pkg-config --cflags --libs rtcswarm) -pthread
    ldd shared | grep librtcswarm.so
    ./shared' | tee "$work/said" && grep -q "alice: bob says hello" "$work/said"
}
# shellcheck disable=SC2016
static() {
  inside sh -ec 'cd /tmp/packages
    gcc -Wall callbacks.c -o static -static $(pkg-config --static --cflags --libs rtcswarm) -pthread
    ./static' | tee "$work/said" && grep -q "alice: bob says hello" "$work/said"
}
server_is_honest() { # it signs a token with a secret, and serves nobody without
  inside sh -ec 'rtcswarm-server --version
    head -c 32 /dev/urandom | base64 >/tmp/packages/secret
    rtcswarm-server token --secret-file /tmp/packages/secret --user alice --room lobby' || return 1
  inside timeout 10 rtcswarm-server --listen 127.0.0.1:0 >"$work/said" 2>&1 && return 1
  cat "$work/said"
  grep -q "who may join" "$work/said" || return 1
  [ "$(inside sh -c 'set -a && . /etc/default/rtcswarm-server && env | grep -c ^RTCSWARM_')" = 0 ]
}
purges() {
  # shellcheck disable=SC2016
  inside sh -c "dpkg --purge \$(dpkg-query --show --showformat='\${Package} ' '*rtcswarm*')" || return 1
  rm -rf "$chroot/tmp/packages"
  listing >"$work/after"
  diff "$work/before" "$work/after" && ! inside dpkg-query --show '*rtcswarm*' && ! inside sh -c 'ldconfig -p | grep rtcswarm'
}
check "the packages are installed" installs
check "an example is compiled, linked and run" shared
check "and with the library inside" static
check "the server signs tokens, and serves nobody without a secret" server_is_honest
check "nothing is left after a purge" purges

[ "$failures" -eq 0 ] || rm -f "$chroot/made"
[ "$failures" -eq 0 ]

#!/usr/bin/env bash
# Debian packages of what is built, into build/deb: librtcswarm0.1 (what programs run with), librtcswarm-dev (what they are built
# with) and rtcswarm-server. `make deb` calls it.
#
#   RELEASE=target/release   where cargo has built
#   DEB_VERSION=0.1.0-1      the packages' version
#   DEB_MAINTAINER="Name <address>"
#   DEB_LEVEL=6              of compression
set -euo pipefail
cd "$(dirname "$0")/.."
# What is in a package is for everybody, whoever has built it.
umask 022
release=${RELEASE:-target/release}
out=${BUILD:-build}/deb
for tool in dpkg-deb dpkg-shlibdeps dpkg-gensymbols python3; do
  command -v "$tool" >/dev/null || {
    echo "make: $tool is missing: install dpkg-dev and python3" >&2
    exit 1
  }
done

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
interface=$(echo "$version" | sed -E 's/^(0\.[0-9]+|[1-9][0-9]*)\..*/\1/')
deb_version=${DEB_VERSION:-$version-1}
maintainer=${DEB_MAINTAINER:-The rtcswarm authors <rtcswarm@packages.invalid>}
architecture=$(dpkg-architecture -qDEB_HOST_ARCH)
triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH)

rm -rf "$out"
mkdir -p "$out/work/debian"
work=$(cd "$out/work" && pwd)
stage=$work/stage
make --no-print-directory --silent install RELEASE="$release" PREFIX=/usr LIBDIR="/usr/lib/$triplet" DESTDIR="$stage" >"$work/install.log"
# Every run makes the same bytes of the same source. Only from here on: cargo, where it sees another SOURCE_DATE_EPOCH than before, runs
# ring's build script again, and builds nearly everything anew.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

library=$work/librtcswarm$interface
development=$work/librtcswarm-dev
server=$work/rtcswarm-server
take() { # package, paths in the stage: moved with their directories
  package=$1
  shift
  for path in "$@"; do
    mkdir -p "$package/$(dirname "$path")"
    mv "$stage/$path" "$package/$path"
  done
}
lib=usr/lib/$triplet
take "$library" "$lib/librtcswarm.so.$version" "$lib/librtcswarm.so.$interface"
take "$development" "$lib/librtcswarm.so" "$lib/librtcswarm.a" "$lib/pkgconfig" "$lib/cmake" usr/include
take "$server" usr/bin/rtcswarm-server
install -D -m 644 scripts/debian/rtcswarm-server.service "$server/usr/lib/systemd/system/rtcswarm-server.service"
install -D -m 644 scripts/debian/rtcswarm-server.default "$server/etc/default/rtcswarm-server"
rm -r "$stage/usr/share/doc/rtcswarm"
left=$(find "$stage" ! -type d)
[ -z "$left" ] || {
  echo "make: in no package: $left" >&2
  exit 1
}
# Libraries are data to the loader.
chmod 644 "$library/$lib/librtcswarm.so.$version"

sed '1,/^$/d; s/^$/./; s/^/ /' LICENSE-MIT >"$work/mit"
sed -e "/@MIT@/{r $work/mit" -e 'd}' scripts/debian/copyright >"$work/copyright"
python3 scripts/third_party.py >"$work/third-party.txt"
cat >"$work/changelog.Debian" <<END
rtcswarm ($deb_version) unstable; urgency=medium

  * Built from the sources of this version; CHANGELOG.md says what is new.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END

# Packs one directory. On stdin: the fields of its control file after the common ones, with the description last.
pack() { # directory
  name=$(basename "$1")
  doc=$1/usr/share/doc/$name
  mkdir -p "$doc" "$1/DEBIAN"
  install -m 644 "$work/copyright" "$doc/copyright"
  gzip -9nc "$work/changelog.Debian" >"$doc/changelog.Debian.gz"
  gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
  gzip -9nc "$work/third-party.txt" >"$doc/third-party.txt.gz"
  find "$1" -type d -exec chmod 755 {} +
  {
    echo "Package: $name"
    echo "Source: rtcswarm"
    echo "Version: $deb_version"
    echo "Architecture: $architecture"
    echo "Maintainer: $maintainer"
    echo "Installed-Size: $(du -k -s --apparent-size --exclude=DEBIAN "$1" | cut -f 1)"
    echo "Priority: optional"
    cat
  } >"$1/DEBIAN/control"
  (cd "$1" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$1/DEBIAN/md5sums"
  dpkg-deb --build --root-owner-group -Zxz "-z${DEB_LEVEL:-6}" "$1" "$out/${name}_${deb_version}_$architecture.deb" >/dev/null
  echo "$out/${name}_${deb_version}_$architecture.deb"
}
# What a program or a library needs, as dpkg finds it.
printf 'Source: rtcswarm\n\nPackage: any\nArchitecture: any\n' >"$work/debian/control"
depends() {
  (cd "$work" && dpkg-shlibdeps -O "-e$1" 2>shlibdeps.log | sed -n 's/^shlibs:Depends=//p' | grep .) || {
    cat "$work/shlibdeps.log" >&2
    echo "make: dpkg-shlibdeps finds nothing that $1 needs" >&2
    return 1
  }
}
library_depends=$(depends "$library/$lib/librtcswarm.so.$version")
server_depends=$(depends "$server/usr/bin/rtcswarm-server")

mkdir -p "$library/DEBIAN"
echo "activate-noawait ldconfig" >"$library/DEBIAN/triggers"
echo "librtcswarm $interface librtcswarm$interface (>= $version)" >"$library/DEBIAN/shlibs"
(cd "$work" && dpkg-gensymbols "-plibrtcswarm$interface" "-v$version" "-P$library" "-O$library/DEBIAN/symbols" -q)
pack "$library" <<END
Section: libs
Depends: $library_depends
Recommends: ca-certificates
Description: full-mesh WebRTC swarm for native programs (library)
 A room of connected peers: each member of a room has a WebRTC connection to
 every other one, made in two signaling round trips, with data channels and
 media. This is the library that programs run with.
END

pack "$development" <<END
Section: libdevel
Depends: librtcswarm$interface (= $deb_version), libc6-dev
Suggests: pkg-config, cmake
Description: full-mesh WebRTC swarm for native programs (development)
 A room of connected peers: each member of a room has a WebRTC connection to
 every other one, made in two signaling round trips, with data channels and
 media. These are the headers for C and C++, the static library, and what
 pkg-config and CMake look for.
END

mkdir -p "$server/DEBIAN"
echo /etc/default/rtcswarm-server >"$server/DEBIAN/conffiles"
install -m 755 scripts/debian/rtcswarm-server.postinst "$server/DEBIAN/postinst"
install -m 755 scripts/debian/rtcswarm-server.prerm "$server/DEBIAN/prerm"
install -m 755 scripts/debian/rtcswarm-server.postrm "$server/DEBIAN/postrm"
install -d "$server/usr/share/doc/rtcswarm-server"
gzip -9nc README.md >"$server/usr/share/doc/rtcswarm-server/README.md.gz"
pack "$server" <<END
Section: net
Depends: $server_depends
Description: signaling server for full-mesh WebRTC swarms
 Keeps spare offers of the members of a room for those who come next, and lets
 nobody in without a token that is signed with your key. It is started as a
 service once there is a secret.
END
rm -rf "$work"

# shellcheck shell=bash
# Sourced by test.sh and build-chat.sh: finds Swift 6 on this machine, or else makes a chroot that has it; and puts the sources
# and the C library where it can use them.
#
#   RTCSWARM_TARGET         where librtcswarm.so and rtcswarm-server are; default target/release
#   RTCSWARM_SWIFT_CHROOT   where the chroot is made, and found again: a folder of its own, empty or not there at first;
#                           default build/swift-chroot
#
# One script at a time uses it; another one waits.
#
# For the chroot root is needed, debootstrap, and 2 GB of disk. Nothing stays mounted: /proc is mounted for the time of a command,
# in a mount namespace of its own.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target=${RTCSWARM_TARGET:-$root/target/release}
suite=trixie
marker=.rtcswarm-swift-chroot
packages=(swiftlang libc6-dev libstdc++-14-dev git)
swift_flags=(-Xswiftc -warnings-as-errors)

# Says why the caller ends; not a failure where nobody has promised that Swift is there.
cannot() {
  echo "swift: $1" >&2
  [ "${CI:-}" = true ] && exit 1
  exit "${2:-0}"
}

timed() { # words, command
  local began=$SECONDS words=$1
  shift
  "$@" || {
    echo "swift: $words failed" >&2
    return 1
  }
  echo "swift: $words took $((SECONDS - began)) s"
}

# The Debian mirror of this machine, if it is a Debian; else debootstrap takes its own.
mirror() {
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk '$1 == "Debian" { print $2; exit }'
}

# Only a folder that this script has marked as its own, while it was empty, is ever emptied. The mark itself stays, so that what
# an interrupted one leaves can be emptied too.
claim_chroot() {
  if [ ! -f "$chroot/$marker" ]; then
    [ -z "$(ls -A "$chroot")" ] || {
      echo "swift: $chroot is neither empty nor a chroot with Swift of this script's making: name another, or remove it" >&2
      return 1
    }
    echo "Made by bindings/swift/toolchain.sh, which empties this folder when it makes its chroot anew." >"$chroot/$marker"
  fi
  find "$chroot" -mindepth 1 -maxdepth 1 ! -name "$marker" \
    -exec rm -rf --one-file-system --preserve-root=all -- {} +
}

make_chroot() {
  echo "swift: making a chroot with Swift in $chroot, which takes some minutes"
  local log=$chroot.log eatmydata=()
  command -v eatmydata >/dev/null && eatmydata=(eatmydata)
  # shellcheck disable=SC2046
  unshare --mount "${eatmydata[@]}" debootstrap --variant=minbase --include=eatmydata "$suite" "$chroot" $(mirror) \
    >"$log" 2>&1 || {
    tail "$log" >&2
    return 1
  }
  # What neither builds nor tests anything is half of the package.
  sed 's/^/path-exclude=/' >"$chroot/etc/dpkg/dpkg.cfg.d/swift" <<'END'
/usr/share/doc/*
/usr/share/info/*
/usr/share/locale/*
/usr/share/man/*
/usr/libexec/swift/bin/clangd
/usr/libexec/swift/bin/docc
/usr/libexec/swift/bin/lldb*
/usr/libexec/swift/bin/sourcekit-lsp
/usr/libexec/swift/bin/swift-format
/usr/libexec/swift/lib/liblldb*
/usr/libexec/swift/lib/libLTO*
/usr/libexec/swift/lib/libsourcekitdInProc*
/usr/libexec/swift/lib/swift*/embedded/*
END
  # shellcheck disable=SC2016
  in_chroot 'export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && eatmydata apt-get install -y -qq --no-install-recommends "$@" && apt-get clean' "${packages[@]}" \
    >>"$log" 2>&1 || {
    tail "$log" >&2
    return 1
  }
  rm -rf "$chroot"/var/lib/apt/lists/*
  echo "$suite ${packages[*]}" >"$chroot/complete"
}

# A shell command in the chroot, with arguments. All that it has begun ends with it.
in_chroot() {
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child sh -c 'mount -t proc proc "$1/proc" && exec chroot "$@"' sh "$chroot" \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 sh -c "$1" sh "${@:2}"
}

chroot_is_there() {
  [ "$(cat "${RTCSWARM_SWIFT_CHROOT:-$root/build/swift-chroot}/complete" 2>/dev/null)" = "$suite ${packages[*]}" ]
}

# Sets `stage`, a folder here, and `inside`, what Swift calls it.
find_swift() {
  local version
  version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\).*/\1/p') || true
  if [ "${version:-0}" -ge 6 ]; then
    chroot=
    stage=$root/build/swift inside=$root/build/swift
    mkdir -p "$stage"
    hold_lock "$stage.lock"
    return
  fi
  [ "$(uname -s)" = Linux ] || cannot "Swift 6 is missing"
  [ "$(id -u)" = 0 ] || cannot "Swift 6 is missing, and making a chroot that has it takes root"
  command -v debootstrap >/dev/null || cannot "Swift 6 is missing, and debootstrap to make a chroot that has it"
  chroot=${RTCSWARM_SWIFT_CHROOT:-$root/build/swift-chroot}
  mkdir -p "$chroot"
  chroot=$(cd "$chroot" && pwd -P)
  stage=$chroot/work inside=/work
  hold_lock "$chroot.lock"
  if ! chroot_is_there; then
    claim_chroot || exit 1
    timed "making the chroot" make_chroot 9>&- || {
      echo "swift: the chroot could not be made; $chroot.log says more" >&2
      exit 1
    }
  fi
  mkdir -p "$stage"
}

# Until the end of the script: what makes the chroot, and what is staged, built and run in it, belong to one script at a time. What
# is run closes the descriptor, 9, so that nothing that lives longer than the script keeps the lock.
hold_lock() { # file
  # macOS has none.
  command -v flock >/dev/null || return 0
  exec 9>"$1"
  flock -n 9 && return
  echo "swift: waiting for another script that has $1"
  flock -w 1800 9 || {
    echo "swift: another script has had $1 for half an hour" >&2
    exit 1
  }
}

# A command where Swift is, in a folder of the stage; it finds the staged library.
in_swift() { # folder, command
  local folder=$inside/$1
  shift
  local given=(
    PKG_CONFIG_PATH="$inside/prefix/lib/pkgconfig" LD_LIBRARY_PATH="$inside/prefix/lib"
    RTCSWARM_TEST_PROGRAMS="$inside/programs"
  )
  if [ -n "$chroot" ]; then
    # shellcheck disable=SC2016
    in_chroot 'cd "$1" && shift && exec env "$@"' "$folder" "${given[@]}" "$@" 9>&-
  else
    (cd "$folder" && env "${given[@]}" "$@") 9>&-
  fi
}

# The sources, the library as `make install` puts it, and the programs of other languages that the tests meet.
stage_all() {
  local file
  for file in librtcswarm.so rtcswarm-server; do
    [ -f "$target/$file" ] || {
      echo "swift: there is no $target/$file: cargo build --release" >&2
      exit 1
    }
  done
  rm -rf "$stage/src" "$stage/prefix" "$stage/programs"
  mkdir -p "$stage/src" "$stage/prefix/lib/pkgconfig" "$stage/programs"
  tar -C "$root" --exclude=.build -cf - Package.swift include bindings/swift examples | tar -C "$stage/src" -xf -
  local version soname
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
  soname=librtcswarm.so.${version%.*}
  cp "$target/librtcswarm.so" "$stage/prefix/lib/$soname"
  ln -s "$soname" "$stage/prefix/lib/librtcswarm.so"
  # shellcheck disable=SC2016
  sed -e "s|@PREFIX@|$inside/prefix|" -e 's|@LIBDIR@|${prefix}/lib|' -e 's|@INCLUDEDIR@|${prefix}/include|' \
    -e "s|@VERSION@|$version|" -e '/^Libs.private/d' "$root/bindings/c/rtcswarm.pc.in" \
    >"$stage/prefix/lib/pkgconfig/rtcswarm.pc"
  cp "$target/rtcswarm-server" "$stage/programs"
}

build_examples() {
  # Into a file, because the linker has words about Foundation's use of mktemp.
  in_swift src swift build --package-path examples/swift --scratch-path "$inside/build-examples" -c release \
    --static-swift-stdlib "${swift_flags[@]}" >"$stage/examples.log" 2>&1 || {
    cat "$stage/examples.log" >&2
    return 1
  }
  local example
  for example in chat hello; do
    # Debugging symbols of Foundation are most of it.
    in_swift build-examples strip -o "$inside/programs/$example-swift" "release/$example"
  done
}

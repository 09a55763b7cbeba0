#!/bin/sh
# The tests of the C interface and of its C++ wrapper: a matrix of compilers and standards, the test programs plainly and
# under valgrind, and the installed library. One line a test; status 0 if all are well.
#
#   tests/c/run.sh            after `cargo build --release`; RTCSWARM_TARGET_DIR names another target/release
#   CI=true tests/c/run.sh    a missing tool is a failure
#   tests/c/run.sh compile|plain|chat|media|valgrind|abi|install|deb ...    some of it only
#   tests/c/run.sh threads    under ThreadSanitizer, Rust's standard library included; builds the library for it, which takes a while

set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${RTCSWARM_TARGET_DIR:-$root/target/release}
case $target in /*) ;; *) target=$(pwd)/$target ;; esac
build=$target/c-tests
failures=0
warnings="-Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion"
c_tests="arguments states callbacks exchange signals media containers threads"

cd "$root" || exit 1
mkdir -p "$build" || exit 1

well() { echo "ok $1"; }
bad() {
  echo "FAILED $1"
  failures=$((failures + 1))
}
# check NAME COMMAND...: one line, and what the command said only if it failed.
check() {
  name=$1
  shift
  if "$@" >"$build/output" 2>&1; then
    well "$name"
  else
    bad "$name"
    sed 's/^/    /' "$build/output"
  fi
}
have() {
  command -v "$1" >/dev/null 2>&1 && return 0
  if [ "${CI:-}" = true ]; then bad "$1 is missing"; else echo "skipped: $1 is missing"; fi
  return 1
}

compile() {
  for compiler in gcc clang; do
    have $compiler || continue
    for standard in c99 c11 c17 c2x; do
      # shellcheck disable=SC2086
      check "$compiler $standard: rtcswarm.h and the examples" \
        $compiler -std=$standard $warnings -Wstrict-prototypes -Iinclude -fsyntax-only \
        -x c include/rtcswarm.h examples/chat.c examples/callbacks.c examples/media_send.c examples/media_record.c
    done
  done
  for compiler in g++ clang++; do
    have $compiler || continue
    echo '#include <rtcswarm.h>' >"$build/header.cpp"
    for standard in c++11 c++14 c++17 c++20; do
      # shellcheck disable=SC2086
      check "$compiler $standard: rtcswarm.h" \
        $compiler -std=$standard $warnings -Iinclude -fsyntax-only "$build/header.cpp"
    done
    for standard in c++17 c++20; do
      # shellcheck disable=SC2086
      check "$compiler $standard: rtcswarm.hpp" $compiler -std=$standard $warnings -Wsign-conversion -Wold-style-cast \
        -Iinclude -Ibindings/c -fsyntax-only tests/c/wrapper.cpp examples/chat.cpp
    done
  done
  # No function is forgotten where callers' mistakes are tried.
  sed -e 's,/\*.*\*/,,' -e '/\/\*/,/\*\//d' include/rtcswarm.h | grep -v typedef |
    grep -o 'rtcswarm_[a-z0-9_]*(' | sort -u >"$build/functions"
  missing=
  while read -r function; do
    grep -qF "$function" tests/c/arguments.c || missing="$missing $function)"
  done <"$build/functions"
  if [ -n "$missing" ] || [ "$(wc -l <"$build/functions")" -lt 50 ]; then
    bad "every function is tried with NULL; not:$missing"
  else
    well "every function is tried with NULL"
  fi
  # Nor where they are called all at once. A config is for one thread at a time; callbacks are set before a swarm starts.
  missing=
  while read -r function; do
    case $function in *_config_*) continue ;; esac
    grep -qF "$function" tests/c/threads.c || missing="$missing $function)"
  done <"$build/functions"
  if [ -n "$missing" ]; then
    bad "every function is called from many threads at once; not:$missing"
  else
    well "every function is called from many threads at once"
  fi
}

programs() {
  [ -f "$target/librtcswarm.so" ] || {
    bad "there is no $target/librtcswarm.so: cargo build --release"
    return 1
  }
  # The loader looks for the name in the library, which make install gives it.
  name=$(readelf -d "$target/librtcswarm.so" | sed -n 's/.*soname: \[\(.*\)\].*/\1/p')
  ln -sf ../librtcswarm.so "$build/$name"
  for test in $c_tests; do
    # shellcheck disable=SC2086
    check "build $test" "${CC:-cc}" -std=c11 -g -O1 $warnings -Iinclude "tests/c/$test.c" tests/c/harness.c \
      -o "$build/$test" "$target/librtcswarm.so" "-Wl,-rpath,$build" -pthread
  done
  # shellcheck disable=SC2086
  check "build wrapper" "${CXX:-c++}" -std=c++17 -g -O1 $warnings -Iinclude -Ibindings/c tests/c/wrapper.cpp \
    -o "$build/wrapper" "$target/librtcswarm.so" "-Wl,-rpath,$build" -pthread
  # shellcheck disable=SC2086
  check "build callbacks.c" "${CC:-cc}" -std=c11 -g -O1 $warnings -Iinclude examples/callbacks.c \
    -o "$build/example_callbacks" "$target/librtcswarm.so" "-Wl,-rpath,$build" -pthread
}

plain() {
  programs || return
  for test in $c_tests wrapper example_callbacks; do
    rm -f "$build/$test.status"
    { "$build/$test" 2>&1 || : >"$build/$test.status"; } | sed "s/^/$test: /"
    if [ -f "$build/$test.status" ]; then bad "$test"; else well "$test"; fi
  done
}

valgrind_all() {
  have valgrind || return
  programs || return
  # Its threads take turns fairly, or one that looks again and again lets those that move datagrams starve.
  for test in $c_tests wrapper example_callbacks; do
    check "valgrind: $test" env RTCSWARM_TEST_PATIENCE=10 RTCSWARM_TEST_ROUNDS=25 valgrind -q --fair-sched=try --error-exitcode=99 \
      --leak-check=full --show-leak-kinds=definite,indirect,possible --errors-for-leak-kinds=definite,indirect,possible \
      --child-silent-after-fork=yes --num-callers=40 --suppressions=tests/c/valgrind.supp "$build/$test"
  done
}

# ThreadSanitizer sees what was compiled for it only, so the standard library is as well; of C, ring's assembly and the C library it knows
# the calls. Helgrind and DRD do not know Rust's atomics, and report thousands of races that are none.
threads() {
  have clang && have rustup || return
  source=$(rustc +nightly --print sysroot 2>/dev/null)/lib/rustlib
  host=$(rustc +nightly -vV 2>/dev/null | sed -n 's/^host: //p')
  runtime=$source/$host/lib/librustc-nightly_rt.tsan.a
  if [ ! -d "$source/src/rust/library" ] || [ ! -f "$runtime" ]; then
    bad "ThreadSanitizer wants nightly Rust with its sources: rustup toolchain install nightly --component rust-src"
    return
  fi
  RUSTFLAGS=-Zsanitizer=thread cargo +nightly build -Zbuild-std --target "$host" --target-dir target/tsan \
    --manifest-path bindings/c/Cargo.toml || {
    bad "the library is built for ThreadSanitizer"
    return
  }
  library=$root/target/tsan/$host/debug
  mkdir -p "$library/c"
  ln -sf ../librtcswarm.so "$library/c/$(readelf -d "$library/librtcswarm.so" | sed -n 's/.*soname: \[\(.*\)\].*/\1/p')"
  clang -std=c11 -g -O1 -fsanitize=thread -Iinclude -c tests/c/harness.c -o "$library/c/harness.o"
  for test in $c_tests; do
    # The runtime is Rust's own and not clang's, which is of another version.
    check "build $test for ThreadSanitizer" sh -c "clang -std=c11 -g -O1 -fsanitize=thread -Iinclude -c tests/c/$test.c \
      -o '$library/c/$test.o' && clang '$library/c/$test.o' '$library/c/harness.o' -o '$library/c/$test' \
      -Wl,--whole-archive '$runtime' -Wl,--no-whole-archive -Wl,--export-dynamic '$library/librtcswarm.so' \
      -Wl,-rpath,'$library/c' -lpthread -ldl -lm -lrt"
  done
  # One test forks a program with threads; its child has to live.
  TSAN_OPTIONS="die_after_fork=0 exitcode=66 ${TSAN_OPTIONS:-}"
  RTCSWARM_TEST_PATIENCE=10
  export TSAN_OPTIONS RTCSWARM_TEST_PATIENCE
  "$library/c/threads" a_race_of_the_program_s_own >"$build/output" 2>&1
  if [ $? -eq 66 ] && grep -q "data race .*hear_and_write" "$build/output"; then
    well "a race is found where there is one"
  else
    bad "a race is found where there is one"
  fi
  for test in $c_tests; do check "ThreadSanitizer: $test" "$library/c/$test"; done
}

# Waits for a line that matches in a file.
heard() { # pattern, file
  for _ in $(seq 1 400); do
    grep -q "$1" "$2" && return 0
    sleep 0.05
  done
  echo "\"$1\" is not in $2:"
  cat "$2"
  return 1
}
chat_meets() { # A in C leaves by a line, B in C++ by the end of stdin, C stays until a signal
  rm -f "$build"/*.fifo
  mkfifo "$build/a.fifo" "$build/b.fifo"
  in_lobby a "$build/chat-c" --expect 2 --timeout 20 <"$build/a.fifo" &
  a=$!
  in_lobby b "$build/chat-cpp" --expect 2 --timeout 20 <"$build/b.fifo" &
  b=$!
  in_lobby c "$build/chat-c" --expect 2 --timeout 20 --stay </dev/null &
  c=$!
  # After all three, so that none of them holds the other end of a fifo.
  exec 3>"$build/a.fifo" 4>"$build/b.fifo"
  for user in a b c; do heard "^$user: complete 2" "$build/$user.out" || return 1; done
  for pair in "a b" "a c" "b a" "b c" "c a" "c b"; do
    set -- $pair
    heard "^$1: open $2\$" "$build/$1.out" && heard "^$1: text from $2: hello from $2\$" "$build/$1.out" &&
      heard "^$1: binary from $2: 8 bytes\$" "$build/$1.out" &&
      heard "^$1: link $2 rtt=[0-9.?]*\(ms\)\? direct sent=[0-9]*B received=[0-9]*B\$" "$build/$1.out" || return 1
  done
  echo "one more line" >&4
  heard "^a: text from b: one more line" "$build/a.out" || return 1
  echo leave >&3
  wait $a || return 1
  heard "^a: left" "$build/a.out" && heard "^b: closed a (remote close)" "$build/b.out" &&
    heard "^c: closed a (remote close)" "$build/c.out" || return 1
  exec 4>&-
  wait $b || return 1
  heard "^b: left" "$build/b.out" && heard "^c: closed b (remote close)" "$build/c.out" || return 1
  kill -TERM "$(cat "$build/c.pid")"
  wait $c && heard "^c: left" "$build/c.out"
}
# A chat in the room; its output in USER.out, its process in USER.pid.
in_lobby() { # user, program, options
  user=$1
  shift
  token=${token_of_chat:-$("$target/rtcswarm-server" token --secret-file "$build/secret" --user "$user" --room lobby)}
  (
    sh -c 'echo $$ >"$0"; exec "$@"' "$build/$user.pid" "$@" --url "$url" --room "${room_of_chat:-lobby}" \
      --user "$user" --token "$token"
  ) >"$build/$user.out" 2>&1
}
chat_is_refused() { # program, options
  token_of_chat=nonsense in_lobby eve "$@" </dev/null
  [ $? -eq 2 ] && heard "^eve: signaling: " "$build/eve.out"
}
chat_is_alone() { # program
  in_lobby alone "$1" --expect 1 --timeout 0.3 </dev/null
  [ $? -eq 1 ] && heard "^alone: timeout: 0 of 1" "$build/alone.out"
}
chat_asks() { # program
  "$1" --url x --room y 2>"$build/usage.out"
  [ $? -eq 64 ] && heard "^usage: " "$build/usage.out"
}

# A signaling server at $url.
serve() {
  [ -x "$target/rtcswarm-server" ] || {
    bad "there is no $target/rtcswarm-server: cargo build --release"
    return 1
  }
  # What is said here was not said in a run before.
  rm -f "$build"/*.out "$build"/*.pid
  : >"$build/server.out"
  head -c 48 /dev/urandom | base64 >"$build/secret"
  "$target/rtcswarm-server" --listen 127.0.0.1:0 --jwt-secret-file "$build/secret" >"$build/server.out" 2>&1 &
  server=$!
  heard "^listening on " "$build/server.out" >"$build/output" 2>&1 || {
    bad "the signaling server starts"
    kill $server
    return 1
  }
  url=$(sed -n 's/^listening on //p' "$build/server.out")
}

media_arrives() { # a file is sent, and another one is made of what comes
  rm -rf "$build/recorded"
  in_lobby rec "$build/media-record-c" --out "$build/recorded" &
  recorder=$!
  # What is sent before the other side knows of it does not arrive: it takes the second round to have all.
  in_lobby snd "$build/media-send-c" --video "$build/video.ivf" --audio "$build/sound.ogg" --loop --seconds 4 &&
    heard "^rec: wrote .*ivf: [0-9]* frames, [0-9.]* s, " "$build/rec.out" &&
    heard "^rec: wrote .*ogg: [0-9]* frames, [0-9.]* s, " "$build/rec.out" || return 1
  kill -TERM "$(cat "$build/rec.pid")"
  wait $recorder || return 1
  "$build/containers" contains "$build"/recorded/snd-video-*.ivf "$build/video.ivf" &&
    "$build/containers" contains "$build"/recorded/snd-audio-*.ogg "$build/sound.ogg"
}
media_ends() { # with its file, and who was there first begins with a key frame, too
  rm -rf "$build/recorded"
  in_lobby snd "$build/media-send-c" --video "$build/video.ivf" --stream other &
  sender=$!
  in_lobby rec "$build/media-record-c" --out "$build/recorded" --seconds 3
  wait $sender && heard "^snd: end of .*video.ivf" "$build/snd.out" && heard "^snd: sent [3-9][0-9] frames" "$build/snd.out" &&
    heard "^rec: wrote .*ivf: [3-9][0-9] frames" "$build/rec.out"
}
media_refuses() { # a file that is none
  token_of_chat=nonsense in_lobby eve "$build/media-send-c" --video "$build/sound.ogg"
  [ $? -eq 1 ] && heard "^eve: .*sound.ogg is no IVF file" "$build/eve.out"
}

media() {
  programs || return
  for program in send record; do
    # shellcheck disable=SC2086
    check "build media_$program.c" "${CC:-cc}" -std=c99 -O1 $warnings -Iinclude "examples/media_$program.c" \
      -o "$build/media-$program-c" "$target/librtcswarm.so" "-Wl,-rpath,$build"
  done
  "$build/containers" make "$build/video.ivf" "$build/sound.ogg" || bad "containers make"
  serve || return
  check "media_send.c sends what media_record.c records" media_arrives
  check "media_send.c ends with its file" media_ends
  check "media_send.c refuses a file that is none: status 1" media_refuses
  check "media_send.c is refused: status 2" chat_is_refused "$build/media-send-c" --video "$build/video.ivf"
  check "media_record.c is refused: status 2" chat_is_refused "$build/media-record-c" --out "$build/recorded"
  check "media_send.c asks for its options: status 64" chat_asks "$build/media-send-c"
  check "media_record.c asks for its options: status 64" chat_asks "$build/media-record-c"
  for user in snd rec; do
    kill "$(cat "$build/$user.pid")" 2>/dev/null
  done
  kill $server
  wait 2>/dev/null
}

chat() {
  programs || return
  # shellcheck disable=SC2086
  check "build chat.c" "${CC:-cc}" -std=c99 -O1 $warnings -Iinclude examples/chat.c -o "$build/chat-c" \
    "$target/librtcswarm.so" "-Wl,-rpath,$build"
  # shellcheck disable=SC2086
  check "build chat.cpp" "${CXX:-c++}" -std=c++17 -O1 $warnings -Iinclude -Ibindings/c examples/chat.cpp \
    -o "$build/chat-cpp" "$target/librtcswarm.so" "-Wl,-rpath,$build"
  serve || return
  check "chat.c and chat.cpp meet and part" chat_meets
  for program in chat-c chat-cpp; do
    check "$program is refused: status 2" chat_is_refused "$build/$program" --expect 1
    check "$program is alone: status 1" chat_is_alone "$build/$program"
    check "$program asks for its options: status 64" chat_asks "$build/$program"
  done
  # Who is still there after a failure goes, too.
  for user in a b c; do
    kill "$(cat "$build/$user.pid")" 2>/dev/null
  done
  kill $server
  wait 2>/dev/null
}

[ $# -gt 0 ] || set -- compile plain chat media valgrind abi install deb
for part; do
  case $part in
    compile) compile ;;
    plain) plain ;;
    chat) chat ;;
    media) media ;;
    valgrind) valgrind_all ;;
    threads) threads ;;
    abi) tests/abi/run.sh || failures=$((failures + 1)) ;;
    install) RTCSWARM_TARGET_DIR=$target sh tests/c/install_test.sh || failures=$((failures + 1)) ;;
    deb) RTCSWARM_TARGET_DIR=$target sh tests/c/deb_test.sh || failures=$((failures + 1)) ;;
    *)
      echo "no such part: $part" >&2
      exit 64
      ;;
  esac
done
if [ "$failures" -gt 0 ]; then
  echo "$failures failed"
  exit 1
fi
echo "all well"

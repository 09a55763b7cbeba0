#!/usr/bin/env bash
# Makes build/chat-kotlin and build/hello-kotlin of the repository: scripts that start the JVM with what Maven has compiled.
set -euo pipefail
cd "$(dirname "$0")"
for tool in java mvn cargo; do
  if ! command -v "$tool" >/dev/null; then
    echo "kotlin: $tool is missing" >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
  fi
done
echo "kotlin: building (minutes, the first time)"
./build-native.sh
# Without colours, and without the resets that Maven's jansi says at its end all the same.
MAVEN_OPTS="${MAVEN_OPTS:-} -Djansi.noreset=true" mvn --quiet --batch-mode -Dstyle.color=never process-test-classes
root=$(cd ../.. && pwd)
classes=$PWD/target/classes:$PWD/target/test-classes:$(cat target/classpath)
mkdir -p "$root/build"
for main in Chat Hello; do
  # Not by ${main,,}, which the bash of macOS does not know.
  name=$(echo "$main" | tr '[:upper:]' '[:lower:]')
  cat >"$root/build/$name-kotlin" <<SCRIPT
#!/bin/sh
# Made by bindings/kotlin/build-chat.sh.
exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp '$classes' ${main}Kt "\$@"
SCRIPT
  chmod +x "$root/build/$name-kotlin"
done

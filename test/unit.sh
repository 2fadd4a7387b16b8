#!/bin/sh
# unit.sh: unit, property and transcript tests; no root, no daemons of others. Run through bootstrap.sh, which has put the
# pinned Node first on PATH. A package's files share one process where test/unit has an entry for it (those of metadata-push
# do not: they replace process-wide things); what is loaded is compiled once and kept; some processes more than
# there are processors run at a time, because many tests wait for timers and children.
set -eu
# Seconds. tap gives every process 30, which is little on a busy machine; what hangs is found all the same.
export TAP_TIMEOUT="${TAP_TIMEOUT:-600}"
root=$(dirname "$(dirname "$(readlink -f "$0")")")
cd "$root"
export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE:-$root/node_modules/.cache/compiled}"
for package in packages/*; do
  name=${package#packages/}
  if [ -f "test/unit/$name.test.ts" ]; then
    set -- "$@" "test/unit/$name.test.ts"
  else
    set -- "$@" "$package/test/**/*.test.ts"
  fi
done
exec node --test --test-concurrency=$(($(nproc) + 3)) "$@" 'test/*.test.ts'

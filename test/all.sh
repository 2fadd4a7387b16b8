#!/bin/sh
# all.sh: every test there is, in the order in which a failure is cheapest to find. Run by `npm test` through bootstrap.sh,
# which has put the pinned Node first on PATH. Installs what it needs from Debian and says so; needs root for that.
set -eu
# Seconds. tap gives every process 30, which is little on a busy machine; what hangs is found all the same.
export TAP_TIMEOUT="${TAP_TIMEOUT:-600}"
cd "$(dirname "$(readlink -f "$0")")/.."

echo '--- types and lint'
tsc --noEmit
biome ci --reporter=summary .
echo '--- unit, property and transcript tests'
sh test/unit.sh
if [ "$(id -u)" -ne 0 ]; then
  echo 'The other tests run the real Postfix, Dovecot and Delta Chat: run npm test as root, or npm run test:unit alone.' >&2
  exit 1
fi
echo '--- integration and end-to-end tests'
bin/chatmailctl demo --install-only
# One file at a time: they measure delays and fill the machine.
node --test --test-concurrency=1 'test/integration/*.test.ts' 'test/e2e/*.test.ts'
echo '--- the package on fresh Debians'
sh test/machine.sh

#!/bin/sh
# machine.sh: the package on fresh Debians with a systemd and a network of their own (test/machine). Run by `npm run
# test:machine` and as the last part of `npm test`, through bootstrap.sh, which has put the pinned Node first on PATH. Where
# a machine cannot boot containers it says why and is content, unless CHATMAIL_MACHINE_TESTS=required. `machine.sh bench` only
# measures (bench/machine.ts).
set -eu
cd "$(dirname "$(readlink -f "$0")")/.."

reason=$(node test/machine/requirements.ts)
if [ -n "$reason" ]; then
  echo "The machine tests did not run: $reason." >&2
  [ "${CHATMAIL_MACHINE_TESTS:-}" != required ] || exit 1
  exit 0
fi
packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
architecture=$(dpkg --print-architecture)
CHATMAIL_DEB=$(node debian/build.ts --fast --arch "$architecture" --out "$packages")
CHATMAIL_DEB_NEXT=$(node debian/build.ts --fast --arch "$architecture" --out "$packages" --version 99.0)
export CHATMAIL_DEB CHATMAIL_DEB_NEXT
if [ "${1:-}" = bench ]; then
  node bench/machine.ts
else
  # Two at once: most of the time they wait.
  node --test --test-concurrency=2 'test/machine/*.test.ts'
fi

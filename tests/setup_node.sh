#!/bin/sh
# Installs the npm side of the tests into tests/node_modules, exactly as package-lock.json says. Does nothing when that is
# already done: the lock it was installed from is kept beside the modules and compared.
set -eu
cd "$(dirname "$0")"
stamp=node_modules/.installed-lock.json
if cmp -s package-lock.json "$stamp"; then
  exit 0
fi
# No install scripts: what they build is of no use here, and a test tool has no business running code while it is installed.
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
cp package-lock.json "$stamp"

#!/bin/sh
# Installs the npm side of the tests into tests/node_modules, exactly as package-lock.json says. Does nothing when that is
# already done: the lock it was installed from is kept beside the modules and compared.
set -eu
cd "$(dirname "$0")"
stamp=node_modules/.installed-lock.json
if cmp -s package-lock.json "$stamp"; then
  exit 0
fi
# The Inspector's install script would fetch its web front ends; only its command line is used here.
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
cp package-lock.json "$stamp"

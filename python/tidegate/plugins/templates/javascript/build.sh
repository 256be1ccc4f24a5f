#!/bin/sh
# Builds build/NAME.wasm with its manifest, build/NAME.toml, beside it. Needs node and npm; the first time, npm fetches
# componentize-qjs, which puts a small JavaScript engine around plugin.js.
set -eu
cd "$(dirname "$0")"
value() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" plugin.toml | head -n 1; }
name=$(value name)
command -v npm >/dev/null || { echo "npm is missing: install Node.js" >&2; exit 1; }

[ -d node_modules/componentize-qjs ] || npm install --ignore-scripts --no-audit --no-fund --loglevel=error
mkdir -p build
# --stub-wasi: without files, clock and randomness of its own, which a plugin has no use for.
node node_modules/componentize-qjs/bin/componentize-qjs --wit wit/plugin.wit --world "$(value world)-plugin" --js plugin.js \
  --sync --opt-size --stub-wasi --minify -o "build/$name.wasm" >/dev/null
cp plugin.toml "build/$name.toml"
echo "build/$name.wasm"

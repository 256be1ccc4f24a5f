#!/bin/sh
# Builds build/NAME.wasm with its manifest, build/NAME.toml, beside it. Needs a C compiler for WebAssembly and its library:
# Debian's packages clang, lld, wasi-libc and libclang-rt-dev-wasm32, or the WASI SDK (CLANG=/opt/wasi-sdk/bin/clang).
set -eu
cd "$(dirname "$0")"
value() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" plugin.toml | head -n 1; }
name=$(value name)
clang=${CLANG:-clang}
command -v "$clang" >/dev/null || { echo "to build C for WebAssembly, install Debian's packages: clang lld wasi-libc libclang-rt-dev-wasm32" >&2; exit 1; }

mkdir -p build
"$clang" --target=wasm32-wasi -O2 -Wall -Wextra -nostartfiles -Wl,--no-entry,--strip-all -o "build/$name.wasm" plugin.c
cp plugin.toml "build/$name.toml"
echo "build/$name.wasm"

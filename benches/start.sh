#!/bin/sh
# Writes src/cli/start.ld: the functions that `envstore exec` runs until it is another program, for the linker to put next to each other.
#
# To be run when its way has changed much. Needs valgrind, and python3 as the interpreter of an empty environment. The names are those of Rust's
# v0 mangling (doc.rust-lang.org/rustc/symbol-mangling/v0.html). What differs from build to build is left open: the crates' disambiguators, and the
# back references, which count letters.
set -eu
cd "$(dirname "$0")/.."
script=src/cli/start.ld
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cargo build --release --locked

export ENVSTORE_STORE="$dir/store" ENVSTORE_CONFIG=/dev/null
touch "$dir/nothing.txt"
target/release/envstore ensure pack --requirement "$dir/nothing.txt" >/dev/null
valgrind --quiet --tool=callgrind --demangle=no --compress-strings=no --dump-before='execvp*' --callgrind-out-file="$dir/calls" \
  target/release/envstore exec pack -- true

{
  sed '/^SECTIONS/,$d' "$script"
  printf 'SECTIONS {\n  .text.start : {\n    *(\n'
  sed -nE "s/^c?fn=(_R[^']*).*/\\1/p" "$dir"/calls.1 |
    sed -E 's/Cs[0-9A-Za-z]+_/Cs*_/g; s/B[0-9A-Za-z]{0,3}_/B*_/g; s/^/      .text*./' | LC_ALL=C sort -u
  # SQLite's. What the compiler made of one is called as it, with something behind.
  awk -F= '/^ob=/ { ours = $2 ~ /envstore$/ } /^fn=[A-Za-z]/ && ours { print $2 }' "$dir"/calls.1 |
    sed -E "s/[.'].*//; s/.*/      .text.&\n      .text.&.*/" | LC_ALL=C sort -u
  printf '    )\n  }\n}\nINSERT BEFORE .text;\n'
} >"$dir/start.ld"
cp "$dir/start.ld" "$script"
echo "$script: $(grep -c '^      ' "$script") functions"

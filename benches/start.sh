#!/bin/sh
# Writes src/cli/start.ld: the functions that `envstore exec` runs until it is another program, for the linker to put next to each other. First those
# of a pack that was asked for before, then what else the first time takes.
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
for time in first again; do
  valgrind --quiet --tool=callgrind --demangle=no --compress-strings=no --dump-before='execvp*' --callgrind-out-file="$dir/$time" \
    target/release/envstore exec pack -- true
done

# functions CALLS: their sections.
functions() {
  sed -nE "s/^c?fn=(_R[^']*).*/\\1/p" "$1" |
    sed -E 's/Cs[0-9A-Za-z]+_/Cs*_/g; s/B[0-9A-Za-z]{0,3}_/B*_/g; s/^/      .text*./' | LC_ALL=C sort -u
  # SQLite's. What the compiler made of one is called as it, with something behind. What lies together already is of no object to callgrind.
  awk -F= '/^ob=/ { ours = $2 ~ /envstore$/ || $2 == "???" } /^fn=[A-Za-z]/ && ours { print $2 }' "$1" |
    sed -E "s/[.'].*//; s/.*/      .text.&\n      .text.&.*/" | LC_ALL=C sort -u
}

{
  sed '/^SECTIONS/,$d' "$script"
  printf 'SECTIONS {\n  .text.start : {\n'
  for time in again first; do
    printf '    *(\n'
    functions "$dir/$time.1"
    printf '    )\n'
  done
  printf '  }\n}\nINSERT BEFORE .text;\n'
} >"$dir/start.ld"
cp "$dir/start.ld" "$script"
echo "$script: $(grep -c '^      ' "$script") functions"

#!/bin/sh
# Runs one small campaign whole and in four shards under GNU parallel, and compares what they add up to.
# Takes the path of the program. Status 0: equal; 1: not equal; 77: GNU parallel is not installed.
set -eu
sim=$1
command -v parallel >/dev/null && parallel --version 2>/dev/null | grep -q '^GNU parallel' || exit 77
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cases=20000
"$sim" run --campaign parallel --cases $cases --out "$dir/whole" >/dev/null
parallel --halt now,fail=1 "$sim" run --campaign parallel --cases $cases --jobs 1 --shard {}/4 \
    --out "$dir/shards" ">/dev/null" ::: 0 1 2 3
"$sim" merge --json "$dir/whole" >"$dir/whole.json"
"$sim" merge --json "$dir/shards" >"$dir/shards.json"
cmp "$dir/whole.json" "$dir/shards.json"

#!/bin/sh
# How much memory of its own `monitor up` takes for each unit: private pages, clean and dirty, that the kernel counts
# for the monitor alone, with 100 and with 1,000 units that print to files. Usage: sh benches/memory.sh [MONITOR]
set -eu
monitor=${1:-target/release/monitor}
base=$(mktemp -d /dev/shm/monitor-memory.XXXXXX)
trap 'rm -r "$base"' EXIT

# Prints the kilobytes with so many units.
measure() {
    mkdir "$base/$1"
    for unit in $(seq "$1"); do
        printf "command = ['sleep', 'infinity']\nstdout = 'file:%s'\nstderr = 'stdout'\n" \
            "$base/$1/$unit.log" >"$base/$1/worker-$unit.toml"
    done
    "$monitor" up "$base/$1" --state "$base/$1/state" >"$base/$1/lines" 2>&1 &
    until [ "$(grep -c started "$base/$1/lines")" -ge "$1" ]; do sleep 0.1; done
    awk '/^Private_/ { sum += $2 } END { print sum }' "/proc/$!/smaps_rollup"
    kill $! && wait $!
}

few=$(measure 100)
many=$(measure 1000)
echo "100 units: $few KB; 1,000 units: $many KB; each: $(((many - few) * 1024 / 900)) bytes"

#!/bin/sh
# The memory that `monitor up` takes for each unit: the private pages, clean and dirty, that the
# kernel counts for the monitor alone. It is measured with 100 and with 1,000 units that print to
# files. The pages of the program itself in memory vary by 200 KB from run to run, so the pages that
# it has written to are shown, too. Usage: sh benches/memory.sh [MONITOR]
set -eu
monitor=${1:-target/release/monitor}
base=$(mktemp -d /dev/shm/monitor-memory.XXXXXX)
trap 'rm -r "$base"' EXIT

# Prints the kilobytes with this number of units: the private pages, and those of them that were
# written to.
measure() {
    mkdir "$base/$1"
    for unit in $(seq "$1"); do
        printf "command = ['sleep', 'infinity']\nstdout = 'file:%s'\nstderr = 'stdout'\n" \
            "$base/$1/$unit.log" >"$base/$1/worker-$unit.toml"
    done
    : >"$base/$1/lines"
    "$monitor" up "$base/$1" --state "$base/$1/state" >"$base/$1/lines" 2>&1 &
    until [ "$(grep -c started "$base/$1/lines")" -ge "$1" ]; do sleep 0.1; done
    sleep 2 # what starts took is freed by then
    awk '/^Private_/ { own += $2 } /^Anonymous/ { written = $2 } END { print own, written }' "/proc/$!/smaps_rollup"
    kill $! && wait $!
}

few=$(measure 100)
many=$(measure 1000)
echo "100 units: ${few% *} KB, written ${few#* } KB; 1,000 units: ${many% *} KB, written ${many#* } KB"
own=$(((${many% *} - ${few% *}) * 1024 / 900))
written=$(((${many#* } - ${few#* }) * 1024 / 900))
echo "each unit: $own bytes, written $written bytes"

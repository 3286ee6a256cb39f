#!/bin/sh
# Runs the tests on the kernel once for each capability that is masked, and prints a row for each mask: how many tests
# passed, and why some of them were skipped. Takes a minute for each row.
#
# A mask is given to the supervisors that the tests make. The program `monitor` makes its own, so its tests run in the
# first and the last row only. The last one takes the control groups away from everybody by a mount namespace;
# that takes root.
set -eu
cd "$(dirname "$0")/../../.."

shown=$(mktemp)
trap 'rm -f "$shown"' EXIT
failed=0

all="-p monitor-os -p monitor-os-cli"
library="-p monitor-os --lib --test supervisor --test containment --test setup --test output --test ready"

# row NAME TARGETS COMMAND...: the tests of these targets, run by that command.
row() {
    name=$1
    targets=$2
    shift 2
    # Several words.
    # shellcheck disable=SC2086
    "$@" cargo test --locked --no-fail-fast $targets -- --show-output > "$shown" 2>&1 || failed=1
    awk -v name="$name" '
        /^test result:/ { passed += $4; failed += $6 }
        /^passed over/ || sub(/^test .* ignored \(/, "skipped (") { over[$0]++ }
        END {
            printf "%-26s %5d passed %3d failed", name, passed, failed
            for (why in over) printf "; %d %s", over[why], why
            print ""
        }' "$shown"
    grep -E '^test .* FAILED$' "$shown" || true
    # What the failed tests of each target said: between the first and the second of these lines.
    awk '/^failures:$/ { within = !within } within' "$shown"
}

# shellcheck disable=SC2086
cargo test $all --locked --no-run 2> "$shown" || { cat "$shown"; exit 1; }
row "all there is" "$all" env
for mask in pidfs_inode pidfd_info cgroup cgroup_kill cgroup_freeze subreaper; do
    row "no $mask" "$library" env MONITOR_TEST_MASK="$mask"
done
row "as Linux 5.15" "$library" env MONITOR_TEST_MASK="pidfs_inode pidfd_info"
row "as Linux 5.10" "$library" env MONITOR_TEST_MASK="pidfs_inode pidfd_info cgroup_kill"
row "none" "$library" env MONITOR_TEST_MASK="pidfs_inode pidfd_info cgroup cgroup_kill cgroup_freeze subreaper"
if [ "$(id -u)" = 0 ]; then
    row "no control groups at all" "$all" unshare --mount sh -c '
        mount --make-rprivate /
        grep cgroup2 /proc/self/mounts | while read -r _ place _; do umount -l "$place"; done
        exec "$@"' sh
else
    echo "no control groups at all: it takes root to unmount them"
fi
exit "$failed"

#!/bin/sh
# Installs the servers that tests/servers.rs supervises, from Debian's packages, and starts none of them.
# Without them those tests say so and are skipped. Needs root and a Debian-like system.
set -eu
for program in nginx redis-server /usr/lib/postgresql/*/bin/postgres; do
    command -v "$program" > /dev/null || missing=yes
done
[ "${missing:-}" ] || exit 0
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get update -qq
apt-get install -y -qq --no-install-recommends nginx-light redis-server postgresql > /dev/null

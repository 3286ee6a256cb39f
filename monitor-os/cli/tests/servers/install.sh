#!/bin/sh
# Installs, from Debian's packages, the servers that tests/servers.rs supervises, of which none is started, and the shells
# that tests/manual.rs asks what they complete. Without them those tests say so and are skipped. Needs root and a Debian-like system.
set -eu
for program in nginx redis-server /usr/lib/postgresql/*/bin/postgres zsh fish; do
    command -v "$program" > /dev/null || missing=yes
done
[ "${missing:-}" ] || exit 0
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get update -qq
apt-get install -y -qq --no-install-recommends nginx-light redis-server postgresql zsh fish > /dev/null

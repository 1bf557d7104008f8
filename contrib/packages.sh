#!/bin/bash
# Installs those of the named Debian packages that are missing; asks for nothing if none is.
set -eu

missing=()
if ! command -v dpkg-query >/dev/null; then
    echo "This is no Debian system. Make sure that what these packages hold is installed: $*"
    exit 0
fi
for package in "$@"; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

root=()
[ "$(id -u)" = 0 ] || root=(sudo)
echo "installing: ${missing[*]}"
"${root[@]}" apt-get update -q
"${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}"

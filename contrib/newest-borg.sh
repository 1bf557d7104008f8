#!/bin/bash
# Installs borg's newest version, for the benchmarks, beside a virtual environment's own programs:
# newest-borg.sh VENV. It is built where there is no wheel; where that fails, it says so and that
# is all.
set -eu

venv=$1/newest-borg
[ ! -x "$venv/bin/borg" ] || exit 0

build() {
    "$(dirname "$0")/packages.sh" gcc libacl1-dev libfuse3-dev liblz4-dev libssl-dev \
        libxxhash-dev libzstd-dev pkg-config python3-dev &&
        "$1/bin/python" -m venv "$venv" &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check 'borgbackup[pyfuse3]' &&
        "$venv/bin/borg" --version
}

if ! build "$1"; then
    rm -rf "$venv"
    echo "borg's newest version does not build here: it is left out"
fi

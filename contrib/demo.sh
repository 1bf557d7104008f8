#!/bin/bash
# Shows snapfs at work on files of this machine. Everything is in a temporary directory, which is
# removed in the end, also after a failure.
set -eu

work=$(mktemp -d "${TMPDIR:-/tmp}/snapfs-demo.XXXXXX")

clean() {
    if mountpoint -q "$work/mnt"; then
        snapfs umount --lazy "$work/mnt" || true
    fi
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() {
    printf '\n$ %s\n' "$1"
    bash -c "$1"
}

export SNAPFS_REPOSITORY=$work/repository
export SNAPFS_PASSPHRASE="correct horse battery staple"
export SNAPFS_STATE_DIR=$work/state SNAPFS_CACHE_DIR=$work/cache
unset SNAPFS_PASSPHRASE_FILE

mkdir "$work/home" "$work/mnt"
cp -r /usr/share/doc "$work/home/documents"
cp -r "$(dirname "$0")/../snapfs" "$work/home/program"
cd "$work"

say "A repository: a directory here, a bucket elsewhere"
run "snapfs init"

say "A first snapshot"
run "snapfs ingest --host demo --name home home"

say "Something is changed, something is lost"
run "sed -i '1s/.*/# not what it was/' home/program/__init__.py"
run "rm home/program/errors.py"

say "A second snapshot: only what is new is stored"
run "snapfs ingest --host demo --name home home"
run "snapfs snapshots"

say "All snapshots as a file system"
run "snapfs mount mnt"
run "ls mnt/demo/home"
first=$(find mnt/demo/home -mindepth 1 -maxdepth 1 -type d | sort | head -n 1)

say "Both states, side by side"
run "ls $first$work/home/program | head -n 4"
# 1: there are differences. Anything else, as 2, is a failure.
run "diff -r --no-dereference $first$work/home mnt/demo/home/latest$work/home" || [ $? -eq 1 ]

say "Where is what is gone?"
run "find mnt/demo/home/.deleted -type f"
run "snapfs find '*.py' --deleted"
run "snapfs history home/program/errors.py"

say "A file out of the past"
run "cp $first$work/home/program/errors.py home/program/"
run "ls -l home/program/errors.py"
run "ls -l mnt/demo/home/.versions$work/home/program/__init__.py"

say "What may go, and why; and is all of it there?"
run "snapfs forget --keep-last 1 --below-floor --dry-run"
run "snapfs check --read-data"

say "The end"
run "snapfs umount mnt"

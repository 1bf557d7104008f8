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
run "diff -r --no-dereference $first$work/home mnt/demo/home/latest$work/home" || true

say "A file out of the past"
run "cp $first$work/home/program/errors.py home/program/"
run "ls -l home/program/errors.py"

say "The end"
run "snapfs umount mnt"

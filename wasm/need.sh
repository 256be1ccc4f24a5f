#!/bin/sh
# need.sh COMMAND PACKAGE [COMMAND PACKAGE]…: ends with the names of Debian's packages for the commands that are missing.
missing=
while [ $# -gt 1 ]; do
  command -v "$1" >/dev/null || missing="$missing $2"
  shift 2
done
[ -z "$missing" ] || { echo "tidegate: to build the plugins, install Debian's packages:$missing" >&2; exit 1; }

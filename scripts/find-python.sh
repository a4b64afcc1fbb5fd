#!/bin/sh
# Prints the interpreter that the environment is made with: $PYTHON when it is given, else the
# first of python3, python3.14 … python3.11 that is new enough.
set -u

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    candidates=$PYTHON
else
    candidates="python3 python3.14 python3.13 python3.12 python3.11"
fi

for candidate in $candidates; do
    if new_enough "$candidate"; then
        echo "$candidate"
        exit 0
    fi
done
echo "Python 3.11 or newer is needed; tried $candidates. Name one: make PYTHON=/path/to/python3.11" >&2
exit 1

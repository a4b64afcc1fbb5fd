# Run one server, and stop it when its owner is gone.
#
#   sh -c "$(cat watch.sh)" name SIGNALS SECONDS COMMAND [ARGUMENT ...]
#
# SIGNALS   what to send until the server has ended, each for SECONDS before the next
# 0 (in)    a pipe that the owner holds: a line, or its end, however the owner ended, stops the
#           server; the line "detach" lets it go on without an owner
# 1 (out)   where the server's output goes
# 2 (out)   the lock: every process of the server inherits it, so it is free when the last is gone
# Ends with the server's own exit status.
signals=$1 seconds=$2
shift 2
# The shell itself says nothing: there may be nobody left to read it, and then it would die of it.
exec 3>&2 2>/dev/null 4<&0 </dev/null
trap 'exit 0' USR1
"$@" 2>&1 4<&- &
server=$!
{
    exec 3>&-
    read -r word
    if [ "$word" = detach ]; then
        kill -s USR1 $$
        exit
    fi
    trap 'kill -s TERM "$!"; wait; exit' TERM
    for signal in $signals; do
        waited=0
        while [ "$waited" -lt "$seconds" ]; do
            # Each second again: a shell's background commands ignore INT, and what a server
            # ignored before it had set its own handlers is lost.
            kill -s "$signal" "$server" || exit
            sleep 1 &
            wait "$!"
            waited=$((waited + 1))
        done
    done
} <&4 &
reader=$!
exec 4<&-
wait "$server"
status=$?
kill -s TERM "$reader"
wait "$reader"
exit "$status"

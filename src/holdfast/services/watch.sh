# Run one server, and stop it when its owner is gone.
#
#   sh -c "$(cat watch.sh)" name SIGNALS SECONDS COMMAND [ARGUMENT ...]
#
# SIGNALS   what to send, in this order, SECONDS apart, until the server has ended
# 0 (in)    a pipe that the owner holds: a line, or its end, however the owner ended, stops the
#           server; the line "detach" lets it go on without an owner
# 1 (out)   where the server's output goes
# 2 (out)   the lock: every process of the server inherits it, so it is free when the last is gone
# Ends with the server's own exit status.
signals=$1 seconds=$2
shift 2
exec 3>&2 2>&1 4<&0 </dev/null
trap 'exit 0' USR1
"$@" 4<&- &
server=$!
{
    exec 3>&-
    read -r word
    if [ "$word" = detach ]; then
        kill -s USR1 $$
        exit
    fi
    trap 'kill -s TERM "$pause"; wait; exit' TERM
    for signal in $signals; do
        kill -s "$signal" "$server"
        waited=0
        while [ "$waited" -lt "$seconds" ]; do
            sleep 1 &
            pause=$!
            wait "$pause"
            # Only if the shell below was killed: then nobody ends this loop.
            kill -0 "$server" || exit
            waited=$((waited + 1))
        done
    done
} <&4 2>/dev/null &
reader=$!
exec 4<&-
wait "$server"
status=$?
{
    kill -s TERM "$reader"
    wait "$reader"
} 2>/dev/null
exit "$status"

#!/bin/bash
# Starts an aggregator and an agent on this host, as two processes that speak gRPC on loopback, and prints where the
# console is. Ctrl-C ends both cleanly. All state lies under ./data (or $DATA); started again, it goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${AO_BIN:-target/release}
http=127.0.0.1:8800
mkdir -p "${DATA:-data}"
data=$(cd "${DATA:-data}" && pwd)
export DATA=$data

# Job control gives each process a group of its own: Ctrl-C reaches this script alone, which then stops them in order.
set -m
agent='' aggregator=''

stop() {
    trap - EXIT
    trap '' INT TERM HUP
    # The terminal may be gone.
    echo 2>/dev/null || true
    for pid in $agent $aggregator; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    echo "Stopped. What was read is under $data; 'make run' goes on from there." 2>/dev/null || true
    exit "${1:-0}"
}
trap 'stop 0' INT TERM HUP
trap 'stop 1' EXIT

answers() { (exec 3<>"/dev/tcp/${http%:*}/${http#*:}") 2>/dev/null; }

failed() {
    echo "The $1 has ended; its last words:" >&2
    tail -n 5 "$data/$1.log" >&2
    exit 1
}

"$bin/ao-aggregator" --config deploy/local/aggregator.yaml --data-dir "$data"/aggregator 2>>"$data/aggregator.log" &
aggregator=$!
for _ in $(seq 100); do
    kill -0 "$aggregator" 2>/dev/null || failed aggregator
    answers && break
    sleep 0.1
done
"$bin/ao-agent" --config deploy/local/agent.yaml --data-dir "$data"/agent 2>>"$data/agent.log" &
agent=$!

cat <<END

  AO Observability runs on this host.

    console   http://$http/
    metrics   http://$http/metrics (aggregator), http://127.0.0.1:8810/metrics (agent)
    logs      $data/aggregator.log, $data/agent.log

  Ctrl-C ends it.
END
while true; do
    wait -n "$agent" "$aggregator" || true
    kill -0 "$aggregator" 2>/dev/null || failed aggregator
    kill -0 "$agent" 2>/dev/null || failed agent
done

#!/bin/bash
# Runs one stage of the tests: run.sh STAGE CARGO-TEST-ARGUMENTS, or, with a stage that is a program of its own, run.sh
# STAGE -p PACKAGE --bin PROGRAM -- ARGUMENTS. The whole output goes to target/report/STAGE.log; what
# passing tests print is left out here but for their skips. A test that cannot run prints `SKIP name: reason`; with
# CI=true a skip fails unless skips.txt beside this script names it.
set -euo pipefail
cd "$(dirname "$0")/../.."
stage=$1
shift
mkdir -p target/report
log=target/report/$stage.log
echo "== $stage"
passed=0
case " $* " in
*" -- "*) command=(cargo run --locked --quiet "$@") ;;
*) command=(cargo test --locked --no-fail-fast "$@" -- --show-output) ;;
esac
"${command[@]}" 2>&1 | tee "$log" | awk '
    # Their output stands between two lines "successes:"; a test that starts tests may print any other line.
    /^successes:$/ { quiet++ }
    /^(failures:|test result:)/ && quiet != 1 { quiet = 0 }
    !quiet && !/^$/ && !/ \.\.\. ok$/ && !/^running [0-9]+ tests?$/ { print; fflush() }' || passed=$?
skips=$(grep -oE '^SKIP [^:]+: .*' "$log" | sort -u || true)
[ -z "$skips" ] || echo "$skips"
[ "$passed" = 0 ] || { echo "$stage failed; everything it printed is in $log" >&2; exit "$passed"; }
[ "${CI:-}" = true ] || exit 0
unexpected=$(grep -vFf <(sed -n 's/^\([^#][^:]*\):.*/SKIP \1:/p' tests/scripts/skips.txt) <<<"$skips" | grep . || true)
[ -z "$unexpected" ] || { echo "$stage: these must not be skipped in CI (or belong into tests/scripts/skips.txt):" >&2; echo "$unexpected" >&2; exit 1; }

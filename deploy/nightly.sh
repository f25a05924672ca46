#!/usr/bin/env bash
# What takes too long, or needs the network, to hold at every change: run it once a night from a checkout.
#
#   deploy/nightly.sh [STEP ...]     all of them when none is named:
#     audit     every pinned dependency against the advisory database (deploy/audit.py)
#     sbom      a CycloneDX bill of materials of what the image holds
#     sim       seeded simulations; the seeds go on from night to night (SIM_SEEDS, 2000)
#     faults    real processes under random faults (FAULT_MINUTES, 30)
#     outage    a million events while Planhat is away, then the drain, about 40 minutes (OUTAGE_EVENTS, 1000000)
#     gate      hostile requests against a real web process (GATE_REQUESTS, 1000000)
#     poison    poison items among 5,000, through the real flush (POISON_RUNS, 10)
#     mutants   planted bugs, each of which the tests must catch
#
# Logs, the bill of materials and the simulation's state stay in NIGHTLY_DIR (build/nightly). PYTHON must have the
# project with its `dev` extra; the tools of `audit` and `sbom` get a venv of their own.
#
# Exit codes: 0 every step passed; 1 a step failed; 2 no such step; 3 nothing failed, but a step was NOT RUN, which is
# no pass.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

python=${PYTHON:-python3}
out=${NIGHTLY_DIR:-build/nightly}
mkdir -p "$out"
out=$(cd "$out" && pwd)
readonly NOT_RUN=3
readonly TOOLS=(pip-audit==2.10.1 cyclonedx-bom==7.5.0)
readonly STEPS=(audit sbom sim faults outage gate poison mutants)

tools() { # a venv with the tools of the supply chain, made once
    [ -x "$out/tools/bin/cyclonedx-py" ] && return
    "$python" -m venv "$out/tools" &&
        "$out/tools/bin/pip" install --quiet --disable-pip-version-check "${TOOLS[@]}"
}

audit() {
    if [ -z "${PIP_AUDIT:-}" ]; then
        tools || return $NOT_RUN
    fi
    "$python" deploy/audit.py deploy/constraints.txt --pip-audit "${PIP_AUDIT:-$out/tools/bin/pip-audit}"
}

sbom() {
    tools || return $NOT_RUN
    rm -rf "$out/image"
    PYTHON=$python sh deploy/docker_steps.sh build "$out/image" || return $NOT_RUN
    "$out/tools/bin/cyclonedx-py" environment --pyproject pyproject.toml --output-reproducible \
        --output-format JSON --output-file "$out/sbom.cdx.json" "$out/image/bin/python" || return 1
    "$python" - "$out/sbom.cdx.json" <<'PY'
import json
import sys

bill = json.load(open(sys.argv[1]))
names = {part["name"].lower() for part in bill["components"]}
print(f"sbom: {bill['specVersion']}, {len(names)} components, in {sys.argv[1]}")
missing = {"starlette", "uvicorn", "redis", "arq", "httpx", "orjson"} - names
sys.exit(f"sbom: lacks {sorted(missing)}" if missing else 0)
PY
}

sim() { "$python" -m tests.sim --seeds "${SIM_SEEDS:-2000}" --state "$out/sim.json"; }
faults() { "$python" -m tests.faults --minutes "${FAULT_MINUTES:-30}"; }
outage() { "$python" -m tests.faults.outage --events "${OUTAGE_EVENTS:-1000000}"; }
gate() { "$python" -m tests.gate --requests "${GATE_REQUESTS:-1000000}"; }
poison() { "$python" -m tests.workers.poison --items 5000 --runs "${POISON_RUNS:-10}"; }
mutants() { "$python" -m tests.mutants; }

for step in "$@"; do
    case " ${STEPS[*]} " in
    *" $step "*) ;;
    *)
        echo "nightly.sh: no step named $step; there are ${STEPS[*]}" >&2
        exit 2
        ;;
    esac
done
[ $# -gt 0 ] || set -- "${STEPS[@]}"

failed=0 not_run=0
report=""
for step in "$@"; do
    echo "=== [$(date -u +%H:%M:%S)] $step"
    "$step" 2>&1 | tee "$out/$step.log"
    case ${PIPESTATUS[0]} in
    0) word=passed ;;
    "$NOT_RUN") word="NOT RUN" not_run=1 ;;
    *) word=FAILED failed=1 ;;
    esac
    report+=$(printf '%-8s %s' "$step" "$word")$'\n'
done
printf '===\n%s' "$report"
[ $failed = 0 ] || exit 1
[ $not_run = 0 ] || exit $NOT_RUN

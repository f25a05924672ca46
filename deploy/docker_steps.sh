#!/bin/sh
# The steps of deploy/Dockerfile, kept here so that .ci/run walks the same ones in a fresh venv where no engine is.
#   docker_steps.sh build PREFIX    a venv at PREFIX with the project and its pinned dependencies, not editable
#   docker_steps.sh verify PREFIX   what the image will start starts, from a folder that is not the source
set -eu
step=${1:?build or verify}
prefix=${2:?the folder of the venv}
source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

case $step in
build)
    "${PYTHON:-python3}" -m venv "$prefix"
    "$prefix/bin/pip" install --no-cache-dir --disable-pip-version-check --quiet \
        -c "$source/deploy/constraints.txt" "$source"
    "$prefix/bin/pip" check
    ;;
verify)
    cd /
    "$prefix/bin/planhat-gateway" --help >/dev/null
    "$prefix/bin/python" -I -m gateway --help >/dev/null
    "$prefix/bin/python" -I -m workers --help >/dev/null
    "$prefix/bin/python" -I - <<'PY'
import importlib.metadata
import importlib.resources

import gateway

lua = importlib.resources.files("gateway.store").joinpath("lua")
scripts = sorted(entry.name for entry in lua.iterdir() if entry.name.endswith(".lua"))
samples = importlib.resources.files("gateway.sources").joinpath("samples")
missing = [name for name, there in {
    "store/lua/put.lua": "put.lua" in scripts,
    "sources/samples": samples.is_dir() and any(samples.iterdir()),
    "py.typed": importlib.resources.files("gateway").joinpath("py.typed").is_file(),
}.items() if not there]
if missing:
    raise SystemExit(f"not in the package: {', '.join(missing)}")
version = importlib.metadata.version("planhat-gateway")
print(f"planhat-gateway {version} in {gateway.__path__[0]}: {len(scripts)} scripts, samples for {len(list(samples.iterdir()))} sources")
PY
    ;;
*)
    echo "docker_steps.sh: no step named $step" >&2
    exit 2
    ;;
esac

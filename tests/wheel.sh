#!/usr/bin/env bash
# A wheel built from this checkout works in an empty folder, with nothing of the checkout in reach.
# Dependencies are borrowed from .venv (they are the same); the package itself comes from the wheel alone.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT

"$root/.venv/bin/python" -m build --wheel --outdir "$work/dist" "$root" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
"$root/.venv/bin/python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps "$work"/dist/*.whl
site=$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
ls "$site" | grep -qxE 'app.py|pages' && { echo "the wheel puts app.py or pages beside other packages"; exit 1; }
borrowed=$("$root/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# A .pth line would bring the checkout back through the editable install, PYTHONPATH does not.
export PYTHONPATH="$site:$borrowed"

mkdir "$work/empty" && cd "$work/empty"
"$work/venv/bin/python" -c "import sftqa_core, sys; sys.exit(not sftqa_core.__file__.startswith('$work'))"
"$work/venv/bin/sftqa" train --model atlas-llama --source atlas --n 10 --test-limit 2 --json >train.json
"$work/venv/bin/python" -c "import json; r = json.load(open('train.json')); assert r['n'] == 10, r; print(r['run'])" >run.txt
"$work/venv/bin/sftqa" report "$(cat run.txt)" --out report.html >report.log 2>&1 || { cat report.log; exit 1; }

port=$("$work/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$work/venv/bin/sftqa" app --port "$port" --no-browser >app.log 2>&1 &
server=$!
for _ in $(seq 60); do
  curl -sf "http://127.0.0.1:$port/_stcore/health" >/dev/null && { echo "wheel: 1 passed, 0 failed"; exit 0; }
  sleep 0.5
done
cat app.log
exit 1

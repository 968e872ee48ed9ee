#!/bin/sh
# Follows a mask through an example clip, from nothing: environment, install, clip, masks, overlay.
set -eu
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$ROOT/examples/env.sh"

demo=$ROOT/examples/demo
"$PYTHON" "$ROOT/examples/shots.py" "$demo"
"$ROOT/.venv/bin/propagate" masks "$demo/clip.mp4" "$demo/first_mask.png" \
    -o "$demo/out" --overlay "$demo/out/overlay.mp4" --force </dev/null

printf '\nWhere to look:\n'
printf '  %s  %s\n' \
    "$demo/clip.mp4" "the clip" \
    "$demo/first_mask.png" "the mask of its first frame, all that was given" \
    "$demo/out/masks" "a mask for every frame" \
    "$demo/out/overlay.mp4" "the same, drawn over the clip"

#!/usr/bin/env bash
# The main job, end to end, on the carried demo model: convert, quantize, ask, caption.
set -euo pipefail
cd "$(dirname "$0")/.."
out=build/demo

run() {
    printf '\n$ qwen3vl-edge'
    for word; do
        if [[ $word == *' '* ]]; then printf ' "%s"' "$word"; else printf ' %s' "$word"; fi
    done
    printf '\n'
    .venv/bin/qwen3vl-edge "$@"
}

run convert demo -o "$out" --type Q8_0 --overwrite
run inspect "$out"
run ask "$out" "What color is the circle?" -i samples/red_circle.png --temperature 0
run ask "$out" "Which image shows an orange star?" -i samples/red_circle.png -i samples/orange_star.png --temperature 0
run ask "$out" "Which direction does the circle move?" -v samples/blue_circle_moves_right.mp4 --temperature 0

# one of the samples is a damaged picture, so exit code 1 is right, and every other one has a caption
status=0
run caption "$out" samples --temperature 0 -o - >build/captions.txt || status=$?
cat build/captions.txt
[ "$status" -eq 1 ] && [ "$(grep -c '^samples/.*: .' build/captions.txt)" -eq 8 ]

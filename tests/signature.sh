#!/usr/bin/env bash
# signature.sh [--check]: a hash over every greedy answer of two fixed models on the CPU backend.
#
# Prints "Signature: xxxxxxxx". A commit that changes no function leaves it alone; one that does ends
# with that line and updates tests/signature.expected, with which --check compares.
# float32 and --batch-invariant: the same answers on every machine, whatever its vector instructions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
binary=${SLUICE_BINARY:-build/cpu/server/sluice}
exact=(--device cpu --dtype float32 --batch-invariant --temperature 0)

# The trained model: template, tokenizer, stops, and answers that mean something.
trained() { "$binary" generate models/sluice-tiny "${exact[@]}" "$@"; }
# Weights from a seed, in a shape with every width odd enough to meet the kernels' edges.
seeded() { "$binary" generate tests/signature_model --load-format dummy --seed 1 "${exact[@]}" --ignore-eos "$@"; }

answers() {
  trained --chat --max-tokens 64 --prompt "What does the grep command do?"
  trained --chat --max-tokens 64 --prompt "How do I list all files, sorted by size? <|im_end|>"
  trained --ignore-eos --max-tokens 200 --prompt "The kernel"
  trained --max-tokens 64 --prompt "$(printf 'line %d\n' {1..300})"
  seeded --max-tokens 200 --prompt "a"
  seeded --max-tokens 64 --prompt "$(printf 'line %d\n' {1..100})"
}

signature=$(answers | sha256sum | cut -c1-8)
echo "Signature: $signature"
[ "${1:-}" = --check ] || exit 0
expected=$(cat tests/signature.expected)
[ "$signature" = "$expected" ] || {
  echo "tests/signature.expected has $expected: a change of function, or a bug" >&2
  exit 1
}

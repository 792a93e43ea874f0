#!/usr/bin/env bash
# Lints the templates that the command line makes: lint_generated.sh TARGET CFN-LINT
set -euo pipefail
target=$1 lint=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cargo build --quiet --workspace --all-features --bin hawser
hawser=$target/debug/hawser
"$hawser" template --code s3://bucket/code.zip --organization >"$folder/organization.json"
"$hawser" profiles --output json | grep -oP '"name": *"\K[a-z-]+' | while read -r profile; do
    "$hawser" template --code s3://bucket/code.zip --inline --profile "$profile" >"$folder/inline-$profile.json"
done
# Only in partitions that have organizations with service-managed StackSets. AccountIds are split only where there are some, which W1033
# does not see.
"$lint" --ignore-checks W1033 --regions us-east-1 eu-west-1 cn-north-1 us-gov-west-1 -- "$folder/organization.json"
# Parameters and conditions of packs that are left out stay, so that the same
# settings go with every form (W2001, W8001).
"$lint" --ignore-checks W2001 W8001 --regions us-east-1 eu-west-1 -- "$folder"/inline-*.json

#!/bin/sh
# Search the settings of suites/rivals.yaml (suites/search-rivals.yaml) and write suites/settings/rivals.yaml: 56 trainings.
# Arguments go to every search, such as --device cuda --workers 14.
set -e
FILE=${SETTINGS:-suites/settings/rivals.yaml}
search() { ssdbench search search-rivals -o "$FILE" --add --seeds 100 --budget 8 --batch 8 "$@"; }
LR="--over train.lr=2e-5:1e-3:log"
search --only group=rate $LR "$@"
search --only group=lambda $LR --over train.lambda=0.1:1.0 "$@"
search --only group=halving --over train.pd_lr=2e-5:1e-3:log "$@"
# What was found at 4 evaluations is taken for all.
sed -i 's/nfe: 4, resolution: 32, data: original}/resolution: 32}/
s/variant: pd 16-8-4,/variant: [pd 16-8-4-2-1, pd 16-8-4-2, pd 16-8-4, pd 16-8, pd 20-10],/' "$FILE"

#!/bin/sh
# Search the settings of the mini profile (suites/search-mini.yaml) and write suites/settings/mini.yaml: 72 trainings of 200 steps.
# Arguments go to every search, such as --device cuda --workers 14.
set -e
FILE=${SETTINGS:-suites/settings/mini.yaml}
search() { ssdbench search search-mini -o "$FILE" --add --seeds 100 --budget 8 --batch 8 "$@"; }
LR="--over train.lr=2e-5:3e-4:log"
search --only variant=issd --over train.share=0.05:0.7 $LR --over train.anchor=0,0.25 --over train.fuse=last,all "$@"
search --only variant=ssd --over train.lambda=0.1:1.0 $LR --over train.anchor=0,0.25 "$@"
search --only variant=continual $LR "$@"
# The choice for the original data is taken for synthetic images too, and dit-mini's for the model of the second seed.
sed -i 's/resolution: 32, data: original}/resolution: 32}/; s/{model: dit-mini, \(.*\)resolution: 32}/{model: [dit-mini, dit-mini-seed1], \1resolution: 32}/' "$FILE"

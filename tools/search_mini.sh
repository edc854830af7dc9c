#!/bin/sh
# Search the settings of the mini profile (suites/search-mini.yaml) and write suites/settings/mini.yaml; arguments go to every
# search, such as --device cuda --workers 14. About 450 trainings of 200 steps.
set -e
ISSD="--over train.share=0.05:0.7 --over train.lr=2e-5:3e-4:log --over train.anchor=0,0.25 --over train.fuse=last,all"
SSD="--over train.lambda=0.1:1.0 --over train.lr=2e-5:3e-4:log --over train.anchor=0,0.25"
FILE=${SETTINGS:-suites/settings/mini.yaml}
search() { ssdbench search search-mini -o "$FILE" --add "$@"; }
MAIN="model=dit-mini,resolution=32"
search --only "$MAIN,variant=issd" $ISSD --seeds 100 --budget ${BUDGET:-8} "$@"
search --only "$MAIN,variant=ssd" $SSD --seeds 100 --budget ${BUDGET:-8} "$@"
search --only "$MAIN,variant=continual" --over train.lr=2e-5:3e-4:log --seeds 100 --budget ${BUDGET:-8} "$@"
search --only "model=dit-mini-s|dit-mini-b,variant=issd" $ISSD --seeds 100 --budget ${BUDGET:-8} "$@"
search --only "resolution=64,variant=issd" $ISSD --seeds 100 --budget ${BUDGET:-8} "$@"
search --only "resolution=64,variant=ssd" $SSD --seeds 100 --budget ${BUDGET:-8} "$@"
search --only "model=sd-mini" $ISSD --seeds 100 --budget ${BUDGET:-8} "$@"
search --only "model=dit-mini,variant=pd *issd" $ISSD --seeds 100 --budget ${BUDGET:-8} "$@"
# The choice for the original data is taken for synthetic images too, and dit-mini's for the model of the second seed.
sed -i 's/resolution: 32, data: original}/resolution: 32}/; s/{model: dit-mini, \(.*\)resolution: 32}/{model: [dit-mini, dit-mini-seed1], \1resolution: 32}/' "$FILE"

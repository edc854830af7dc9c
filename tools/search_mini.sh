#!/bin/sh
# Search the settings of the mini profile (suites/search-mini.yaml) and write suites/settings/mini.yaml: 184 trainings of 200 steps.
# Arguments go to every search, such as --device cuda --workers 14.
set -e
FILE=${SETTINGS:-suites/settings/mini.yaml}
search() { ssdbench search search-mini -o "$FILE" --add --seeds 100 --budget 8 --batch 8 "$@"; }
LR="--over train.lr=2e-5:3e-4:log"
ANCHOR="--over train.anchor=0,0.25"
SHARE="--over train.share=0.05:0.7 --over train.fuse=last,all"
search --only variant=issd,group=main $SHARE $LR $ANCHOR "$@"
search --only variant=ssd,group=main --over train.lambda=0.1:1.0 $LR $ANCHOR "$@"
search --only variant=continual,group=main $LR "$@"
search --only group=others $SHARE $LR $ANCHOR "$@"
search --only group=lambda $LR $ANCHOR "$@"
# The choice for the original data is taken for synthetic images too; dit-mini's for the model of the second seed, and for 64 pixels.
sed -i 's/resolution: 32, data: original}/resolution: 32}/; s/{model: dit-mini, variant: \(continual\|issd\|ssd\), \(.*\)resolution: 32}/{model: [dit-mini, dit-mini-seed1], variant: \1, \2resolution: [32, 64]}/' "$FILE"
# And for the numbers of evaluations and the chains beside those that were searched (suites/rivals.yaml).
sed -i '/variant: issd, .*resolution: \[32, 64\]/{s/nfe: 5,/nfe: [2, 4, 5],/; s/nfe: 10,/nfe: [8, 10],/}
s/variant: pd 20-10 + issd, sampler: ddim, nfe: 10,/variant: [pd 20-10 + issd, pd 16-8 + issd], sampler: ddim, nfe: [8, 10],/
s/variant: pd 16-8-4 + issd, sampler: ddim, nfe: 4,/variant: [pd 16-8-4 + issd, pd 16-8-4-2 + issd], sampler: ddim, nfe: [2, 4],/' "$FILE"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Reproduces the paper at full size on eight GPUs: pose tokenizer, new model from published parts, data, three stages,
# finetuning for reasoning, report.
#
#     bash examples/train/run_all_stages.sh [FOLDER]
#
# If interrupted, run it again: finished steps are skipped, and the others resume from their last checkpoint.
#
# DATA            folder with your copies of Human3.6M, MPI-INF-3DHP, COCO, MPII and 3DPW (`unipose doctor --data
#                 FOLDER` lists which are found); if unset, all data sets are built from the open poses
# REFINE          language model to refine texts (GPT-4 in the paper); if unset, stage 3 uses the engine's texts
# GPUS, LAUNCH    number of GPUs, and accelerate configuration: one_gpu, eight_gpus_fsdp2 or eight_gpus_zero2
# LANGUAGE_MODEL, POSE_VISION   parts of the new model
# EXTRA           additional arguments of all stages, such as "--use_lora false"
#
# To train the mid-size model on one GPU:
#     GPUS=1 LAUNCH=one_gpu LANGUAGE_MODEL=HuggingFaceTB/SmolLM2-135M POSE_VISION=usyd-community/vitpose-base-simple \
#         bash examples/train/run_all_stages.sh runs/mid
set -euo pipefail
RUN=${1:-runs/full}
HERE=$(dirname "$0")
EXAMPLES=$HERE/..
GPUS=${GPUS:-8}
LAUNCH="accelerate launch --config_file $EXAMPLES/configs/${LAUNCH:-eight_gpus_fsdp2}.yaml --num_processes $GPUS"
FROM=${DATA:+--data $DATA}
BY=${REFINE:+--refine-by $REFINE}
TEXTS=$([ -n "$BY" ] && echo R || echo A) # text configuration of stage 3

build() { # kind, rows
    unipose build-data "$1" --size "$2" --output "$RUN/data/$1" --processes "$(nproc)" "${@:3}"
}
stage() { # script, configuration, the paper's batch size, output folder, previous model, data sets
    [ -e "$RUN/$4/model.safetensors.index.json" ] || [ -e "$RUN/$4/model.safetensors" ] || $LAUNCH "$HERE/$1.py" \
        --config "$EXAMPLES/configs/$2.yaml" --per_device_train_batch_size "$(($3 / GPUS))" ${EXTRA:-} \
        --output_dir "$RUN/$4" --model "$RUN/$5" --data "${@:6}"
}

# Total batch size 256; see examples/train/train_pose_tokenizer.py for using AMASS instead of the open poses.
[ -e "$RUN/pose_tokenizer/model.safetensors" ] || $LAUNCH "$HERE/train_pose_tokenizer.py" \
    --per_device_train_batch_size "$((256 / GPUS))" --output_dir "$RUN/pose_tokenizer"
[ -e "$RUN/new_model/config.json" ] || python "$HERE/new_model.py" --pose_tokenizer "$RUN/pose_tokenizer" \
    --language_model "${LANGUAGE_MODEL:-mistralai/Mistral-7B-v0.1}" \
    --pose_vision "${POSE_VISION:-usyd-community/vitpose-plus-huge}" --output_dir "$RUN/new_model"

# The paper's sizes (section 3.1): 50,000 pictures and 50,000 pairs for training, 2,000 each for testing.
build imagescript 52000 $FROM $BY
build imagediff 52000 $FROM $BY
build posest-open 100000
build multi-person 10000 $FROM

DATA_A=("$RUN/data/imagescript/A" "$RUN/data/imagediff/A")
stage train_stage1 stage1 24 stage1 new_model "${DATA_A[@]}"
stage train_stage2 stage2 8 stage2 stage1 "${DATA_A[@]}" "$RUN/data/posest-open/A"
stage train_stage3 stage3 8 stage3 stage2 "$RUN/data/imagescript/$TEXTS" "$RUN/data/imagediff/$TEXTS" \
    "$RUN/data/posest-open/A"
stage train_reasoning reasoning 8 reasoning stage3 "$RUN/data/multi-person/A"

unipose evaluate --model "$RUN/stage3" --output "$RUN/report" $FROM

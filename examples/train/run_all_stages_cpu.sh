#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains unipose-tiny from scratch on a CPU: pose tokenizer, pictures, pose encoder, new model, three stages, three
# runs of the last one, figures and card. Takes hours on two cores; SCALE=0.002 is a test run of all steps in minutes.
#
#     bash examples/train/run_all_stages_cpu.sh [FOLDER]
#
# PHOTO_LIKE=0.5 makes half of the pictures like photographs, CAPTURED=FOLDER shows more captured poses in them.
# If interrupted, run it again: finished steps are skipped, and the others resume from their last checkpoint.
set -euo pipefail
RUN=${1:-runs/tiny}
SCALE=${SCALE:-1}
HERE=$(dirname "$0")
EXAMPLES=$HERE/..
scaled() { python -c "import sys; print(max(2, round(float(sys.argv[1]) * $SCALE)))" "$1"; }
COUNT=$([ "$SCALE" = 1 ] && echo "" || echo "--count 8")

# What helps a small model most: Muon, losses on whole poses, and single-task batches (as the open samples provide).
TINY="--use_lora false --use_muon true --use_cpu true --bf16 false --gradient_checkpointing false --report_to none --disable_tqdm true
      --weight_decay 0.01 --adam_beta2 0.99 --logging_steps 50 --save_steps 250
      --joint_loss_weight 30 --rotation_loss_weight 10 --stated_loss_weight 2 --reading_loss_weight 2"
stage() { # number of the script, output folder, additional arguments
    [ -e "$RUN/$2/model.safetensors" ] || python "$HERE/train_stage$1.py" --output_dir "$RUN/$2" $TINY "${@:3}"
}

[ -e "$RUN/pose_tokenizer/model.safetensors" ] || python "$HERE/train_pose_tokenizer.py" \
    --config "$EXAMPLES/configs/pose_tokenizer_tiny.yaml" --max_steps "$(scaled 30000)" --output_dir "$RUN/pose_tokenizer"
python "$EXAMPLES/data/build_image_bank.py" --output_dir "$RUN/images" --count "$(scaled 40960)" \
    --photo_like "${PHOTO_LIKE:-0}" ${CAPTURED:+--captured "$CAPTURED"}
encoder() { # output folder, steps, additional arguments
    [ -e "$RUN/$1/model.safetensors" ] || python "$HERE/train_pose_encoder.py" --image_bank "$RUN/images" \
        --output_dir "$RUN/$1" --max_steps "$(scaled "$2")" --use_cpu true --report_to none --disable_tqdm true "${@:3}"
}
encoder pose_head 6144 --head_only true
encoder pose_encoder 4096 --model "$RUN/pose_head" --share 0.8
[ -e "$RUN/new_model/model.safetensors" ] || python "$HERE/new_tiny_model.py" \
    --pose_tokenizer "$RUN/pose_tokenizer" --pose_encoder "$RUN/pose_encoder" --output_dir "$RUN/new_model"
stage 1 stage1 --model "$RUN/new_model" --max_steps "$(scaled 1000)" --per_device_train_batch_size 48 \
    --learning_rate 2e-3 --warmup_steps 100
stage 2 stage2 --model "$RUN/stage1" --max_steps "$(scaled 200)" --per_device_train_batch_size 48 \
    --image_bank "$RUN/images" --learning_rate 1e-3 --warmup_steps 20
stage 3 stage3 --model "$RUN/stage2" --max_steps "$(scaled 6000)" --per_device_train_batch_size 48 \
    --image_bank "$RUN/images" --learning_rate 2e-3 --warmup_steps 100 \
    --lr_scheduler_type cosine_with_min_lr --lr_scheduler_kwargs '{"min_lr_rate": 0.15}'
# The learning rate decays to zero, the model's own texts are rewarded for true statements, and a quarter of the samples
# use one of 200 prompt templates.
for seed in 1 2 3; do
    stage 3 "last_$seed" --model "$RUN/stage3" --max_steps "$(scaled 600)" --per_device_train_batch_size 48 \
        --image_bank "$RUN/images" --learning_rate 3e-4 --warmup_steps 0 --lr_scheduler_type linear \
        --truth_loss_weight 5 --templates 0.25 --seed "$seed"
done
python "$EXAMPLES/publish/finish_tiny.py" "$RUN"/last_{1,2,3} --logs "$RUN"/stage{1,2,3} "$RUN/last_1" \
    --output_dir "$RUN/unipose-tiny" $COUNT

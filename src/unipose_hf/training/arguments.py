# SPDX-License-Identifier: Apache-2.0
"""Arguments of the language-model stages, with the hyper-parameters of the paper (supplement table 3) as defaults."""

from dataclasses import dataclass, field

import torch

try:
    from trl import SFTConfig
except ImportError as error:
    raise ImportError("Training needs trl and peft: pip install unipose-hf[train]") from error

STAGES = ("alignment", "projector", "instruction", "reasoning")
# batch, learning rate and epochs of supplement table 3; the finetuning for reasoning (section D) is as instruction
PAPER = {stage: (8, 5e-5, 2) for stage in STAGES} | {"alignment": (24, 1.5e-4, 6)}
WARMUP_EPOCHS = 0.03


@dataclass
class UniPoseSFTConfig(SFTConfig):
    """
    [`trl.SFTConfig`] for the stages of UniPose. Unset fields take the paper's values for the stage.

    Args:
        stage: what to train. `"alignment"` of poses and text: the language model, its new vocabulary rows and the pose
            queries; `"projector"`: only the projector of the vision encoders; `"instruction"`: projector and language
            model; `"reasoning"`: the same, on images of several people.
        per_device_train_batch_size, learning_rate, num_train_epochs: the paper's values by default: 24, 1.5e-4, 6 for
            alignment, otherwise 8, 5e-5, 2. The paper's batch size is that of all processes together.
        warmup_steps: 0.03 epochs by default, as in the paper.
        use_lora: train the linear layers of the language model with LoRA; otherwise in full, which suits small models.
        lora_r, lora_alpha, lora_dropout: rank, scale and dropout of LoRA.
        use_muon: use Muon for linear layers instead of AdamW, see `training.experimental.muon`; not for sharded
            parameters.
        table_learning_rate: with Muon, the learning rate of the parameters that AdamW trains: embeddings and head.
            Defaults to that of the linear layers. Rows of rare words see few samples and tolerate larger steps.
        joint_loss_weight, rotation_loss_weight, stated_loss_weight: weights of losses on the expected pose under the
            predicted codes, in addition to the paper's cross-entropy: per metre of mean joint error, on the mean
            squared error of matrix entries, and on what the text states about the pose
            (`training.experimental.code_loss`). 0, as in the paper, disables a loss.
        contact_loss_weight: weight, per metre, of a loss on how limbs that are close to other parts of the body meet
            them (`training.experimental.contact_loss`). 0, as in the paper, disables it.
        given_share: share of the answers in which some codes are given, so that poses can also be decoded in several
            steps; 0, as in the paper, always predicts all codes. Only with a loss on whole poses.
        reading_loss_weight: weight, per metre, of a loss on how well the hidden states of the language model encode
            the positions and relations of the joints in the prompt's poses and images
            (`training.experimental.reading_loss`). 0, as in the paper, disables it.
        truth_loss_weight: weight of a reward for true statements in texts that the model writes itself
            (`training.experimental.self_training`), for a model that can already write. It applies to batches of a
            single task, such as those of the open samples. Not for sharded parameters. 0, as in the paper, disables
            it.

    Raises:
        ValueError: unknown stage.
    """

    stage: str = field(default="instruction", metadata={"help": "What to train.", "choices": list(STAGES)})
    per_device_train_batch_size: int | None = field(
        default=None, metadata={"help": "Default: 24 or 8, as in the paper."}
    )
    learning_rate: float | None = field(default=None, metadata={"help": "Default: 1.5e-4 or 5e-5, as in the paper."})
    num_train_epochs: float | None = field(default=None, metadata={"help": "Default: 6 or 2, as in the paper."})
    warmup_steps: float | None = field(default=None, metadata={"help": "Default: 0.03 epochs, as in the paper."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning rate schedule."})
    use_lora: bool = field(default=True, metadata={"help": "Train the language model with LoRA instead of in full."})
    lora_r: int = field(default=64, metadata={"help": "Rank of LoRA."})
    lora_alpha: int = field(default=16, metadata={"help": "Scale of LoRA."})
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout of LoRA."})
    use_muon: bool = field(default=False, metadata={"help": "Use Muon for the linear layers instead of AdamW."})
    table_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of embeddings and head, with Muon."}
    )
    joint_loss_weight: float = field(default=0.0, metadata={"help": "Loss weight per metre of mean joint error."})
    rotation_loss_weight: float = field(
        default=0.0, metadata={"help": "Loss weight of the mean squared error of rotations."}
    )
    stated_loss_weight: float = field(default=0.0, metadata={"help": "Loss weight of the statements in the text."})
    contact_loss_weight: float = field(default=0.0, metadata={"help": "Loss weight of limbs that meet the body."})
    given_share: float = field(default=0.0, metadata={"help": "Share of answers with some codes given."})
    reading_loss_weight: float = field(
        default=0.0, metadata={"help": "Loss weight per metre of joint error in hidden states."}
    )
    truth_loss_weight: float = field(default=0.0, metadata={"help": "Weight of the reward for true statements."})
    # the collator needs unprepared samples, all columns and whole sequences
    remove_unused_columns: bool = field(default=False, metadata={"help": "The collator needs all columns."})
    max_length: int | None = field(default=None, metadata={"help": "Poses and images must not be truncated."})
    train_sampling_strategy: str = field(
        default="group_by_length",
        metadata={"help": "Groups samples of similar length, as counted by `add_lengths`."},
    )
    save_total_limit: int | None = field(default=2, metadata={"help": "Number of checkpoints to keep."})

    def __post_init__(self):
        if self.stage not in STAGES:
            raise ValueError(f"Unknown stage {self.stage!r}; choose one of {', '.join(STAGES)}.")
        batch, learning_rate, epochs = PAPER[self.stage]
        if self.per_device_train_batch_size is None:
            self.per_device_train_batch_size = batch
        if self.learning_rate is None:
            self.learning_rate = learning_rate
        if self.num_train_epochs is None:
            self.num_train_epochs = epochs
        if self.warmup_steps is None:
            self.warmup_steps = WARMUP_EPOCHS / self.num_train_epochs  # below 1: a share of all steps
        if not torch.accelerator.is_available():
            self.use_cpu = True  # otherwise the libraries refuse bfloat16, their own default
        if self.dataset_kwargs is None:
            self.dataset_kwargs = {"skip_prepare_dataset": True}
        super().__post_init__()

    @property
    def pose_losses(self) -> bool:
        """Whether any loss on whole poses is enabled."""
        answers = self.joint_loss_weight, self.rotation_loss_weight, self.stated_loss_weight, self.contact_loss_weight
        return max(*answers, self.reading_loss_weight, self.truth_loss_weight) > 0

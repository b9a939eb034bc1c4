# SPDX-License-Identifier: Apache-2.0
"""Converts the published text tokenizer (slow, sentencepiece) to a fast tokenizer with exactly the same ids."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import AddedToken, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import generate_merges

from unipose_hf.files.plain import read_json
from unipose_hf.modeling.processing_unipose import (
    IMAGE_TOKEN,
    POSE_END_TOKEN,
    POSE_QUERY_TOKEN,
    POSE_START_TOKEN,
    POSE_TOKEN,
    TASKS,
)

# `[INST] user [/INST] assistant </s>`; images are enclosed by their own tokens.
_CHAT_TEMPLATE = (
    "{%- macro content(message, place) -%}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'text' -%}{{- part['text'] -}}"
    "{%- elif part['type'] == 'image' -%}<im_start><image><im_end>"
    "{%- elif part['type'] == 'pose' -%}{{- place -}}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{%- endmacro -%}"
    "{{- bos_token -}}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}{{- 'FIRST[INST] ' -}}{{- content(message, '<pose>') -}}{{- ' [/INST]' -}}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{%- generation -%}"
    "{{- ' ' -}}{{- content(message, '<pose_query>' if answer_queries else '<pose>') -}}{{- ' ' -}}{{- eos_token -}}"
    "{%- endgeneration -%}"
    "{%- else -%}"
    "{{- raise_exception('A UniPose chat has the roles user and assistant, not ' ~ message['role'] ~ '.') -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
)

# Texts on which the two tokenizers are compared: words, runs of spaces, other scripts, signs, bytes.
_PROBES = [task.prompt for task in TASKS.values()] + [
    "[INST] Make a pose: the person raises both arms and bends the left knee. [/INST]",
    " [/INST] The left arm is raised, the right one isn't. ",
    ".",
    " ",
    "  two   three    four     spaces ",
    "a\ttab,\na line\n\nand ﬁ ½ é e\u0301 \u00a0 , 姿勢 🙂 ~ \x00 \\ <0x0A> <unk> ▁",
]


def convert_text_tokenizer(folder: str | Path, codebook_size: int, num_codes: int) -> PreTrainedTokenizerFast:
    """Reads `tokenizer.model`, `tokenizer_config.json` and `added_tokens.json` of the published folder.

    Text, codes, begin, end and the tokens around an image keep their published ids, under new names: `<pose_0>` and so
    on, `<pose_start>`, `<pose_end>`, `<im_start>`, `<im_end>`. After them, where the published vocabulary has its
    queries, are `<pose_query>`, `<image>` and `<pose>`. The tokenizer also carries the chat template.

    The slow tokenizer adds a space before every piece of text between two added tokens (`legacy`), and merges pieces
    by score. The conversion in transformers does neither for such a file, hence this one.

    Args:
        folder: the published folder `unipose/`.
        codebook_size: codes of the pose tokenizer.
        num_codes: codes of one pose, which is also the number of published queries.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the added tokens do not have the published order, or the text tokenizer behaves differently from
            what was published.
        ImportError: sentencepiece is missing.
    """
    try:
        import sentencepiece
    except ImportError as error:
        raise ImportError("Converting the text tokenizer needs sentencepiece: pip install sentencepiece") from error
    folder = Path(folder)
    file = folder / "tokenizer.model"
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist; it belongs to the published files.")
    try:
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(file))
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{file} is not a sentencepiece model or is damaged; download it again.") from error
    settings = read_json(folder / "tokenizer_config.json")
    legacy = settings.get("legacy", True)
    _check_added_tokens(folder, settings, len(pieces), codebook_size, num_codes)

    backend = Tokenizer(_merge_rules(pieces))
    spaces = [normalizers.Replace(" ", "▁")]
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), *spaces] if legacy else spaces)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    _check_same_pieces(backend, pieces, legacy, file)
    bos, eos, unk = (pieces.id_to_piece(i) for i in (pieces.bos_id(), pieces.eos_id(), pieces.unk_id()))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=bos,
        eos_token=eos,
        unk_token=unk,
        pad_token=unk,
        add_bos_token=True,
        padding_side="left",
        model_max_length=min(settings.get("model_max_length", 2048), 2**31 - 1),
        clean_up_tokenization_spaces=False,
    )
    special = [POSE_START_TOKEN, POSE_END_TOKEN, "<im_start>", "<im_end>", POSE_QUERY_TOKEN, IMAGE_TOKEN, POSE_TOKEN]
    tokenizer.add_tokens([AddedToken(f"<pose_{i}>", special=False, normalized=False) for i in range(codebook_size)])
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in special], special_tokens=True)
    # Without `legacy` no space is added before the first word, so the template adds it.
    tokenizer.chat_template = _CHAT_TEMPLATE.replace("FIRST", "" if legacy else " ")
    return tokenizer


def _merge_rules(pieces):
    """The byte pairs of a sentencepiece model. It merges the pair whose piece has the highest score."""
    vocabulary = {pieces.id_to_piece(i): i for i in range(len(pieces))}
    never_made = {
        piece
        for piece, i in vocabulary.items()
        if pieces.is_control(i) or pieces.is_unknown(i) or pieces.is_byte(i)  # stand for themselves, not for text
    }
    scores = {piece: pieces.get_score(i) for piece, i in vocabulary.items()}
    merges = generate_merges(vocabulary, scores, skip_tokens=never_made)
    unknown = pieces.id_to_piece(pieces.unk_id())
    return models.BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)


def _check_same_pieces(backend, pieces, legacy, file):
    for text in _PROBES:
        wanted = pieces.encode(text)
        found = backend.encode(text if legacy else " " + text, add_special_tokens=False).ids
        if found != wanted:
            raise ValueError(
                f"{file} cuts {text!r} into the pieces {wanted}, but the fast tokenizer made of it into {found}; "
                "expected a byte-pair model without normalization, as Mistral's."
            )


def _check_added_tokens(folder, settings, first, codebook_size, num_codes):
    names = [f"<pose_id_{i}>" for i in range(codebook_size + 2)] + ["<im_start>", "<im_end>"]
    names += [f"<pose_query_{i}>" for i in range(num_codes)]
    wanted = {name: first + i for i, name in enumerate(names)}
    if (folder / "added_tokens.json").is_file():
        found = read_json(folder / "added_tokens.json")
    else:
        decoder = settings.get("added_tokens_decoder", {})
        found = {token["content"]: int(i) for i, token in decoder.items() if int(i) >= first}
    codes = sum(name.startswith("<pose_id_") for name in found) - 2  # begin and end are numbered with the codes
    if codes != codebook_size:
        raise ValueError(
            f"The tokenizer in {folder} has tokens for {codes} pose codes, but the pose tokenizer has {codebook_size} "
            "codes; take both from one release."
        )
    missing = [name for name in names if name not in found]
    unknown = [name for name in found if name not in wanted]
    moved = [name for name in names if name in found and found[name] != wanted[name]]
    if missing or unknown or moved:
        raise ValueError(
            f"The added tokens of {folder} do not follow the {first} pieces in the published order for "
            f"{codebook_size} codes and {num_codes} queries: missing {missing}, unknown {unknown}, elsewhere {moved}."
        )

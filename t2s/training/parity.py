"""The gate before the first step: what LLaMA-Factory trains on is, token by token, what predict will send and expect.

    predict, turn 2 of an interaction   <bos> system … user q1 … assistant sql1 <eot> … user q2 … assistant |
    LLaMA-Factory, the same example     <bos> system … user q1 … assistant sql1 <eot> … user q2 … assistant | sql2 <eot>
    its labels                            -      -       -           sql1 <eot>       -     -               | sql2 <eot>

The left side is the model's own chat template with a freshly loaded tokenizer (LLaMA-Factory alters the one that it
gets: special tokens, sometimes the template itself), the right side LLaMA-Factory's own dataset code. A mismatch costs
tens of points without a word, so it ends the run, with the first difference in readable tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from t2s.engine import Message
from t2s.engine.chat import ChatTokenizer
from t2s.errors import ParityError

IGNORE = -100
"""Label of a token that is not trained on, in torch and in LLaMA-Factory."""

_SHOWN_BEFORE, _SHOWN_AFTER = 12, 6
_MAX_TOKENS_OF_A_CHARACTER = 4
_MAX_LOOKED_AT = _SHOWN_AFTER * _MAX_TOKENS_OF_A_CHARACTER


class Encoded(NamedTuple):
    """One example as LLaMA-Factory's dataset code gives it: `ids` and `labels`, equally long."""

    ids: Sequence[int]
    labels: Sequence[int]


class Training(NamedTuple):
    """Which parts of an example are trained on.

    Attributes:
        history: The answers of earlier turns too, not only the last one (not upstream's `mask_history`).
        prompt: The prompts as well (upstream's `train_on_prompt`).
    """

    history: bool = True
    prompt: bool = False


def check_parity(
    encoded: Sequence[Encoded], examples: Sequence[Sequence[Message]], chat: ChatTokenizer, training: Training
) -> None:
    """Compare every example.

    Args:
        encoded: By LLaMA-Factory, in the order of `examples`.
        examples: Messages; the last one is an answer.
        chat: The inference side: the base model's own tokenizer and template.
        training: What is trained on.

    Raises:
        ParityError: They differ; shows where.
    """
    if len(encoded) != len(examples):
        raise ParityError(
            f"parity: LLaMA-Factory makes {len(encoded)} examples of {len(examples)}: it drops those whose messages it "
            "cannot read; dataset_info.json must name the tags of all roles (prepare writes it)"
        )
    for number, (one, messages) in enumerate(zip(encoded, examples, strict=True), 1):
        difference = first_difference(one, messages, chat, training)
        if difference is not None:
            raise ParityError(
                f"parity: example {number} of {len(examples)}: LLaMA-Factory trains on other tokens than predict uses. "
                f"{difference}\nNothing was trained. Set llamafactory.template to the one of this model, and prepare "
                "the examples with t2s"
            )


def first_difference(
    encoded: Encoded, messages: Sequence[Message], chat: ChatTokenizer, training: Training
) -> str | None:
    """What differs first, for people; None where nothing does."""
    trained: set[int] = set()
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    turns = [_Turn.of(messages, index, chat) for index in answers]
    for number, turn in enumerate(turns, 1):
        start, core = len(turn.prompt), turn.core
        if (place := _unlike(encoded.ids, turn.prompt)) is not None:
            return _tell_prompt(encoded, turn, place, number, messages, chat)
        if not core or core[-1] not in chat.stop_token_ids:
            return (
                f"Turn {number}: the model's own chat template ends an answer with {_shown(core[-1:], chat)}, which is "
                "none of its stop tokens; predict's answers would not end"
            )
        if (place := _unlike(encoded.ids[start:], core)) is not None:
            return _tell_answer(encoded, turn, start + place, number, chat)
        if training.history or number == len(turns):
            trained.update(range(start, start + len(core)))
            untrained = next((i for i in range(start, start + len(core)) if encoded.labels[i] != encoded.ids[i]), None)
            if untrained is not None:
                what = "the stop token" if untrained == start + len(core) - 1 else "a token of the answer"
                return (
                    f"Turn {number}, token {untrained}: {what}, {_shown([encoded.ids[untrained]], chat)}, is not "
                    f"trained on (its label is {encoded.labels[untrained]})"
                )
    return _tell_rest(encoded, turns, trained, chat, training)


class _Turn(NamedTuple):
    """One turn as predict sees it.

    Attributes:
        prompt: What is sent, header of the answer included.
        core: What the model must answer: the text, and the token that ends it.
        tail: What the template writes behind that, before the next message.
    """

    prompt: list[int]
    core: list[int]
    tail: list[int]

    @classmethod
    def of(cls, messages: Sequence[Message], index: int, chat: ChatTokenizer) -> _Turn:
        prompt = chat.encode(messages[:index])
        whole = chat.encode_whole(messages[: index + 1])
        answer = whole[len(prompt) :]
        # Where the two do not begin alike, predict's next prompt shows the answer otherwise than it was generated;
        # then no upstream ids can be like both, and the comparison says where.
        ends = [place for place, token in enumerate(answer) if token in chat.stop_token_ids]
        end = ends[0] + 1 if ends else len(answer)
        return cls(prompt, answer[:end], answer[end:])


def _unlike(found: Sequence[int], wanted: Sequence[int]) -> int | None:
    """First place where `found` does not go on as `wanted` does."""
    for place, token in enumerate(wanted):
        if place >= len(found) or found[place] != token:
            return place
    return None


def _tell_prompt(
    encoded: Encoded, turn: _Turn, place: int, number: int, messages: Sequence[Message], chat: ChatTokenizer
) -> str:
    bos = chat.tokenizer.bos_token_id
    first, _, _ = chat.render(messages[:1], add_generation_prompt=False).partition(messages[0]["content"].strip())
    has_system = messages[0]["role"] == "system"
    if place == 1 and list(encoded.ids[:2]) == [bos, bos]:
        what = "two BOS tokens instead of one"
    elif place < len(chat.encode_text(first)):
        what = "another beginning: the template of another model" if has_system else "another system message"
    elif place < len(chat.encode_whole(messages[:1])):
        what = "another system message" if has_system else "another first message"
    elif number > 1:
        what = "the history is rendered otherwise"
    else:
        what = "the question is rendered otherwise"
    return f"Turn {number}, token {place}: {what}.\n{_both(encoded.ids, turn.prompt, place, chat)}"


def _tell_answer(encoded: Encoded, turn: _Turn, place: int, number: int, chat: ChatTokenizer) -> str:
    whole = [*turn.prompt, *turn.core]
    is_stop = place == len(whole) - 1
    what = f"no stop token {_shown(turn.core[-1:], chat)} behind the answer" if is_stop else "another answer"
    return f"Turn {number}, token {place}: {what}.\n{_both(encoded.ids, whole, place, chat)}"


def _tell_rest(
    encoded: Encoded, turns: Sequence[_Turn], trained: set[int], chat: ChatTokenizer, training: Training
) -> str | None:
    """Labels where none should be, and what stands behind the last answer."""
    last = turns[-1]
    end = len(last.prompt) + len(last.core)
    harmless = {*last.tail, *chat.stop_token_ids}
    behind = [token for token in encoded.ids[end:] if token not in harmless]
    if behind:
        return f"Behind the last answer stands {_shown(encoded.ids[end:][:_MAX_LOOKED_AT], chat)}, wanted nothing"
    if training.prompt:
        return None
    for turn in turns[:-1] if training.history else ():
        start = len(turn.prompt) + len(turn.core)
        trained |= set(range(start, start + len(turn.tail)))  # a line break behind the stop token: no harm
    extra = next((i for i in range(end) if encoded.labels[i] != IGNORE and i not in trained), None)
    if extra is not None:
        return f"Token {extra}, {_shown([encoded.ids[extra]], chat)}, is no part of an answer, and is trained on"
    return None


def _both(found: Sequence[int], wanted: Sequence[int], place: int, chat: ChatTokenizer) -> str:
    before = chat.tokenizer.decode(list(wanted[max(0, place - _SHOWN_BEFORE) : place]))
    return (
        f"  both begin:      {before!r}\n"
        f"  predict:         {_shown(wanted[place:][:_MAX_LOOKED_AT], chat)}\n"
        f"  LLaMA-Factory:   {_shown(found[place:][:_MAX_LOOKED_AT], chat)}"
    )


def _shown(ids: Sequence[int], chat: ChatTokenizer) -> str:
    shown = itertools.islice(_texts(ids, chat), _SHOWN_AFTER)
    return " ".join(f"{text!r} ({numbers})" for text, numbers in shown) or "nothing more"


def _texts(ids: Sequence[int], chat: ChatTokenizer) -> Iterator[tuple[str, str]]:
    """Text and ids of each token; tokens that are parts of one character together."""
    held: list[int] = []
    for token in ids:
        held.append(token)
        text = chat.tokenizer.decode(held)
        if "�" not in text or len(held) == _MAX_TOKENS_OF_A_CHARACTER:
            yield text, " ".join(map(str, held))
            held = []
    if held:
        yield chat.tokenizer.decode(held), " ".join(map(str, held))

"""Text as a task: files and tokens, windows, averaged weights, trainings that are resumed and stored."""

import dataclasses
import itertools
import math
import platform
from pathlib import Path

import numpy as np
import pytest
import torch

from nasbench_kit.data.data_sets import open_data, usual_recipe
from nasbench_kit.data.images.digits import digits
from nasbench_kit.data.tasks import open_trainer
from nasbench_kit.data.text.tokens import END, UNKNOWN, words
from nasbench_kit.data.text.topics import dealt, without_repetitions
from nasbench_kit.errors import CorruptFile, InvalidSetting, UnknownName
from nasbench_kit.spaces import named
from nasbench_kit.spaces.layers.nasbench_macro import NASBenchMacro
from nasbench_kit.spaces.recurrent.window import Dropout, Penalty, Window
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.spaces.trained_network import TrainedNetwork
from nasbench_kit.training.averaged_sgd import AveragedSGD, averaged
from nasbench_kit.training.loaded_text import load
from nasbench_kit.training.recipe import DIGITS, TOPICS, TextRecipe
from nasbench_kit.training.record import Likelihood, score_of
from nasbench_kit.training.text import TextSet
from nasbench_kit.training.trainer import train

SPACE = named("darts-recurrent")
CELL = SPACE.sample(np.random.default_rng(0))


def small_text(length: int = 400, vocabulary: int = 5) -> TextSet:
    """A text with a pattern: each token is mostly the one before plus one."""
    rng = np.random.default_rng(1)

    def tokens(count: int) -> np.ndarray:
        steps = np.where(rng.random(count) < 0.9, 1, rng.integers(0, vocabulary, count))
        return np.cumsum(steps) % vocabulary

    return TextSet(
        "pattern", tokens(length), tokens(100), tokens(80), tuple("abcdefgh"[:vocabulary])
    )


def small_recipe(**changes: object) -> TextRecipe:
    recipe = dataclasses.replace(
        TOPICS, skeleton=Skeleton(6, 1, 1), batch_size=4, bn_batch_size=4, window=7
    )
    return dataclasses.replace(recipe, **changes)  # type: ignore[arg-type]


# Tokens ------------------------------------------------------------------------------------------


def test_words_are_runs_of_letters_signs_and_ends_of_lines() -> None:
    assert words("a b_1, (c)\n\nd") == ["a", "b_1", ",", "(", "c", ")", END, END, "d", END]


def test_penn_treebank_and_wikitext_by_their_folders(tmp_path: Path) -> None:
    for name, stem, ending in (("penn-treebank", "ptb", "txt"), ("wikitext", "wiki", "tokens")):
        folder = tmp_path / name
        folder.mkdir()
        for split, text in (
            ("train", " the cat <unk> sat \n the end \n"),
            ("valid", " the dog \n"),
            ("test", " cat cat \n"),
        ):
            (folder / f"{stem}.{split}.{ending}").write_text(text, encoding="utf-8")
        read = open_data(folder)
        assert isinstance(read, TextSet)
        assert read.name == name
        assert read.vocabulary == (END, UNKNOWN, "cat", "end", "sat", "the")
        assert [read.vocabulary[token] for token in read.train] == [
            *("the", "cat", UNKNOWN, "sat", END),
            *("the", "end", END),
        ]
        assert [read.vocabulary[token] for token in read.validation] == ["the", UNKNOWN, END]
        assert usual_recipe(folder) == "topics"
        characters = open_data(f"{folder}:characters")
        assert isinstance(characters, TextSet)
        assert len(characters.train) == len(" the cat <unk> sat \n the end \n")
        assert characters.digest != read.digest
        (folder / f"{stem}.test.{ending}").unlink()
        with pytest.raises(CorruptFile, match="missing"):
            open_data(folder)


def test_penn_treebank_to_the_letter(tmp_path: Path) -> None:
    """A line begins and ends with a blank; numbers are N, rare words <unk>; "<eos>" stands for a line's end.

    Vocabulary: what the training file has, and what others have beside it is <unk>.
    """
    lines = {
        "train": " aer banknote <unk> N years old \n mr. <unk> is chairman \n $ N a share \n",
        "valid": " consumers may want N \n\n mr. chairman \n",
        "test": " no it was n't black monday \n",
    }
    for split, text in lines.items():
        (tmp_path / f"ptb.{split}.txt").write_text(text, encoding="utf-8")
    read = open_data(tmp_path)
    assert isinstance(read, TextSet)
    words_of = {
        split: [read.vocabulary[token] for token in getattr(read, split)]
        for split in ("train", "validation", "test")
    }
    assert words_of["train"] == [
        *("aer", "banknote", "<unk>", "N", "years", "old", "<eos>", "mr.", "<unk>", "is"),
        *("chairman", "<eos>", "$", "N", "a", "share", "<eos>"),
    ]
    assert words_of["validation"] == [
        *("<unk>", "<unk>", "<unk>", "N", "<eos>", "<eos>", "mr.", "chairman", "<eos>"),
    ]
    assert words_of["test"] == ["<unk>"] * 6 + ["<eos>"]
    assert set(read.vocabulary) == set(words_of["train"])
    again = open_data(tmp_path)
    (tmp_path / "ptb.test.txt").write_text(" no it was black monday \n", encoding="utf-8")
    assert read.digest == again.digest != open_data(tmp_path).digest
    trainer = open_trainer(tmp_path, small_recipe(), store=tmp_path / "store.sqlite")
    assert trainer.conditions["images_digest"] == open_data(tmp_path).digest


def test_wikitext_to_the_letter(tmp_path: Path) -> None:
    """Titles stand between equality signs, empty lines about them; a hyphen within a word is @-@."""
    train = (
        " \n = Robert <unk> = \n \n Robert <unk> is an actor , born 1 @,@ 980 years @-@ old . \n"
    )
    for split, text in (("train", train), ("valid", " = Homarus = \n"), ("test", " \n")):
        (tmp_path / f"wiki.{split}.tokens").write_bytes(text.encode() * 2)
    read = open_data(tmp_path)
    assert isinstance(read, TextSet)
    assert [read.vocabulary[token] for token in read.train[:24]] == [
        *("<eos>", "=", "Robert", "<unk>", "=", "<eos>", "<eos>", "Robert", "<unk>", "is", "an"),
        *("actor", ",", "born", "1", "@,@", "980", "years", "@-@", "old", ".", "<eos>", "<eos>"),
        "=",
    ]
    assert [read.vocabulary[token] for token in read.validation[:4]] == ["=", "<unk>", "=", "<eos>"]
    assert [read.vocabulary[token] for token in read.test] == ["<eos>", "<eos>"]


def test_a_line_ends_at_a_newline_alone(tmp_path: Path) -> None:
    """Not at Unicode's other ends of lines, where the usual readers of these files do not end one either."""
    for split in ("train", "valid", "test"):
        text = "a\u2028 b\x85 c \n g "
        (tmp_path / f"wiki.{split}.tokens").write_text(text, encoding="utf-8", newline="")
    read = open_data(tmp_path)
    assert isinstance(read, TextSet)
    assert [read.vocabulary[token] for token in read.train] == ["a", "b", "c", END, "g", END]


def test_any_utf8_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("".join(f"zeile {n % 3} über alles\n" for n in range(100)), encoding="utf-8")
    text = open_data(path)
    assert isinstance(text, TextSet)
    assert [len(text.train), len(text.validation), len(text.test)] == [400, 50, 50]
    assert set(text.vocabulary) == {END, UNKNOWN, "zeile", "0", "1", "2", "über", "alles"}
    other = tmp_path / "notes.md"
    other.write_bytes(path.read_bytes())
    assert len(open_data(f"{other}:words").train) == 400
    path.write_bytes(b"\xff\xfe rubbish")
    with pytest.raises(CorruptFile, match="UTF-8"):
        open_data(path)
    path.write_text("ab", encoding="utf-8")
    with pytest.raises(InvalidSetting, match="too short"):
        open_data(path)
    with pytest.raises(UnknownName):
        open_data(tmp_path / "absent.txt")


def test_topics_name_python_and_share_nothing() -> None:
    text = open_data("topics")
    assert isinstance(text, TextSet)
    assert platform.python_version() in text.name
    assert text is open_data("topics:words")
    sizes = np.array([len(text.train), len(text.validation), len(text.test)])
    np.testing.assert_allclose(sizes / sizes.sum(), [0.8, 0.1, 0.1], atol=0.05)
    with pytest.raises(InvalidSetting, match="syllables"):
        open_data("topics:syllables")


def test_paragraphs_are_kept_once_and_texts_dealt_by_length() -> None:
    kept = without_repetitions({"b": "one\n\ntwo", "a": "two\n\nthree  \n four", "c": "three four"})
    assert kept == {"a": "two\n\nthree  \n four\n", "b": "one\n", "c": "\n"}
    splits = dealt({str(n): "x" * 10 for n in range(10)})
    assert [len(splits[name].split("\n")) for name in splits] == [8, 1, 1]


# Windows and perplexity --------------------------------------------------------------------------


def test_streams_are_the_text_cut_in_parts() -> None:
    text, recipe = small_text(103), small_recipe()
    loaded = load(text, torch.device("cpu"), recipe)
    assert recipe.windows(103) == 3  # (25 - 1) // 7
    assert loaded.training.length == 21
    assert recipe.steps(5, 103) == 15
    picks = loaded.picks(np.random.default_rng(0), 4)
    order = [next(picks).tolist() for _ in range(7)]
    assert order == [[0, 7], [7, 14], [14, 21]] * 2 + [[0, 7]]
    rewards = loaded.picks(np.random.default_rng(0), 4, "validation")
    assert [next(rewards).tolist() for _ in range(5)][3:] == [[21, 24], [0, 7]]  # 25 tokens
    window, following = loaded.batch(np.array([7, 14]), np.random.default_rng(0))
    assert not window.begins
    for stream in range(4):
        whole = text.train[25 * stream : 25 * (stream + 1)]
        assert window.tokens[stream].tolist() == whole[7:14].tolist()
        assert following[stream].tolist() == whole[8:15].tolist()


def test_perplexity_of_certainty_of_chance_and_of_failure() -> None:
    assert Likelihood(0.0, 10).accuracy == 1
    chance = Likelihood(20 * math.log(50), 20)
    assert chance.perplexity == pytest.approx(50)
    assert chance.accuracy == pytest.approx(1 / 50)
    assert score_of(dataclasses.asdict(chance)) == chance
    for nats in (math.nan, math.inf, -1.0, 1e9, "1"):
        with pytest.raises((InvalidSetting, ValueError, TypeError)):
            score_of({"nats": nats, "tokens": 10})


def test_measured_perplexity_is_that_of_the_whole_streams() -> None:
    """Window by window with what is remembered, as against each stream in one go."""
    text, recipe = small_text(), small_recipe()
    loaded = load(text, torch.device("cpu"), recipe)
    network = CELL.network(
        recipe.skeleton,
        text.classes,
        text.classes,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=None,
        precision="float32",
    )
    score = loaded.measure(network, renew=False)[1]
    assert isinstance(score, Likelihood)
    streams = torch.from_numpy(text.validation[:100].reshape(4, 25))
    logits = network(streams[:, :-1])
    nats = torch.nn.functional.cross_entropy(logits, streams[:, 1:], reduction="sum")
    assert score.nats == pytest.approx(nats.item(), rel=1e-5)
    assert score.tokens == 4 * 24


def test_lengths_of_windows_vary_as_the_released_code_has_them() -> None:
    """Normal around 35, in 5 of 100 around 17.5, cut to 5..55; windows join, and a pass ends with the text."""
    recipe = small_recipe(window=35, window_deviation=5.0)
    rng = np.random.default_rng(0)
    lengths = np.array([recipe.window_length(rng) for _ in range(20_000)])
    # Of a normal value the whole part is taken: half a token less.
    assert lengths.mean() == pytest.approx(0.95 * 34.5 + 0.05 * 17, abs=0.2)
    assert np.std(lengths[lengths > 26]) == pytest.approx(4.6, abs=0.2)
    assert (lengths < 26).mean() == pytest.approx(0.05 + 0.95 * 0.028, abs=0.01)
    assert (lengths.min(), lengths.max()) >= (5, 50)
    wide = small_recipe(window=35, window_deviation=1e6)
    assert {wide.window_length(rng) for _ in range(100)} == {5, 55}
    text = small_text(2000)
    picks = load(text, torch.device("cpu"), recipe).picks(np.random.default_rng(1), 4)
    passes = [next(picks).tolist() for _ in range(40)]
    begins = [place for place, (first, _) in enumerate(passes) if first == 0]
    assert len(begins) > 1
    for (_, last), (first, _) in itertools.pairwise(passes[: begins[1]]):
        assert first == last
    assert passes[begins[1] - 1][1] == 14 * 35  # (500 - 1) // 35 windows
    assert recipe.share_of_rate((4, 7)) == 7 / 35
    assert small_recipe(window=35).share_of_rate((4, 7)) == 1


def test_the_learning_rate_decays_after_some_epochs() -> None:
    """ENAS: 20, times 0.96 in each epoch after 15; two steps an epoch here."""
    recipe = small_recipe(learning_rate=20.0, decay=0.96, decay_after=15)
    rates = [recipe.learning_rate_at(step, 36, 18) for step in range(36)]
    assert rates[:30] == [20.0] * 30
    assert rates[30:] == pytest.approx([19.2, 19.2, 18.432, 18.432, 17.69472, 17.69472])


def test_penalties_by_hand() -> None:
    """Of two tokens and two units: alpha times the mean square, beta times the mean square of the change."""
    network = CELL.network(
        Skeleton(2, 1, 1),
        5,
        5,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=None,
        precision="float32",
    )
    put_out = iter([torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, -2.0]])])
    network._step = lambda *_: next(put_out)
    network(Window(torch.tensor([[0, 1]]), penalty=Penalty(0.5, 0.1)))
    # 0.5 (1 + 4 + 16 + 4) / 4 + 0.1 (9 + 16) / 2
    assert float(network.penalty) == pytest.approx(3.125 + 1.25)
    put_out = iter([torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, -2.0]])])
    network.eval()(Window(torch.tensor([[0, 1]]), penalty=Penalty(0.5, 0.1)))
    assert network.penalty == 0


def test_slowness_sees_states_before_dropout_and_activation_after() -> None:
    network = CELL.network(
        Skeleton(50, 1, 1),
        5,
        5,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=None,
        precision="float32",
    )
    network._step = lambda *_: torch.ones(1, 50)
    dropout = Dropout(output=0.5)
    network(Window(torch.tensor([[0, 1]]), dropout=dropout, penalty=Penalty(1.0, 1.0)))
    mask = network._masks(Window(torch.tensor([[0, 1]]), dropout=dropout))[4]
    assert float(network.penalty) == pytest.approx(mask.square().mean().item())
    assert float(network.penalty) > 1.2  # kept channels count four times, and about half are kept


def test_a_training_goes_down_its_penalties() -> None:
    """States that may not change say less, and those that may not be large neither."""
    text = small_text(2000)
    plain, slow, quiet = (
        train(CELL, text, small_recipe(learning_rate=5.0, **penalty), 4, 0).final.train.perplexity
        for penalty in ({}, {"slowness": 100.0}, {"activation": 100.0})
    )
    assert plain < 3 < min(slow, quiet)


# Averaged SGD ------------------------------------------------------------------------------------


def test_averaging_begins_when_the_loss_stops_falling() -> None:
    """Algorithm 1 by hand, n = 2: 3.5 is above the least of all but the last two losses, 3."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = AveragedSGD([weight], 1.0, clip=10.0, patience=2)
    for loss, watching in ((5, True), (4, True), (3, True), (4, True), (3.5, True), (3.5, False)):
        optimizer.note(loss)
        assert optimizer.watching == watching
    seen = []
    for gradient in (1.0, -2.0, 4.0):
        weight.grad = torch.tensor([gradient])
        optimizer.step()
        seen.append(weight.item())
    assert seen == [-1, 1, -3]
    with averaged(optimizer):
        assert weight.item() == pytest.approx(-1)
    assert weight.item() == -3
    assert not AveragedSGD([weight], 1.0, clip=1.0).watching


def test_gradients_are_cut_to_their_norm() -> None:
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = AveragedSGD(weights, 2.0, clip=1.0)
    weights[0].grad, weights[1].grad = torch.tensor([3.0]), torch.tensor([4.0])
    optimizer.step()
    assert [w.item() for w in weights] == pytest.approx([-1.2, -1.6])


# Trainings ---------------------------------------------------------------------------------------


def test_a_pattern_is_learnt() -> None:
    training = train(CELL, small_text(2000), small_recipe(learning_rate=5.0), 6, seed=0)
    assert not training.failed
    assert training.final.validation.perplexity < 3 < training.start.validation.perplexity


@pytest.mark.parametrize(
    "recipe",
    [
        small_recipe(dropout=Dropout(0.1, 0.2, 0.2, 0.2)),
        small_recipe(patience=1, learning_rate=2.0),
        small_recipe(window_deviation=2.0, slowness=0.1),
    ],
    ids=["dropout", "averaged", "varied"],
)
def test_a_killed_training_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, recipe: TextRecipe
) -> None:
    text, file = small_text(), tmp_path / "state.pt"

    class Killed(Exception):
        pass

    def kill(done: int, steps: int) -> None:
        if done == steps - 4:
            raise Killed

    whole = train(CELL, text, recipe, 4, 0)
    with pytest.raises(Killed):
        train(CELL, text, recipe, 4, 0, checkpoint=file, checkpoint_every_seconds=0, progress=kill)
    resumed = train(CELL, text, recipe, 4, 0, checkpoint=file)
    for point in ("start", "halfway", "final"):
        assert getattr(resumed, point).validation == getattr(whole, point).validation
    assert whole.final != train(CELL, text, recipe, 4, 1).final


def test_trained_weights_are_read_again(tmp_path: Path) -> None:
    text, file = small_text(), tmp_path / "weights.pt"
    training = train(CELL, text, small_recipe(patience=1), 3, 0, weights=file)
    network = TrainedNetwork.load(file)
    assert network.class_names == text.vocabulary
    streams = torch.from_numpy(text.validation.reshape(4, 25))
    nats = torch.nn.functional.cross_entropy(
        network(streams[:, :-1]), streams[:, 1:], reduction="sum"
    )
    assert training.final.validation.nats == pytest.approx(nats.item(), rel=1e-4)


def test_what_does_not_go_together_is_refused() -> None:
    text = small_text()
    with pytest.raises(InvalidSetting, match="for images"):
        train(CELL, text, DIGITS, 1, 0)
    with pytest.raises(InvalidSetting, match="for text"):
        train(CELL, digits(), small_recipe(), 1, 0)
    with pytest.raises(InvalidSetting, match="read text"):
        train(CELL, digits(), DIGITS, 1, 0)
    with pytest.raises(InvalidSetting, match="read images"):
        train(NASBenchMacro()[0], text, small_recipe(), 1, 0)
    with pytest.raises(InvalidSetting, match=r"too few|steps"):
        train(CELL, text, small_recipe(batch_size=200, bn_batch_size=200), 1, 0)
    with pytest.raises(InvalidSetting, match="momentum"):
        small_recipe(momentum=0.9)
    with pytest.raises(InvalidSetting, match="window"):
        small_recipe(window=0)
    for name in ("slowness", "activation", "window_deviation"):
        with pytest.raises(InvalidSetting, match=f"{name} is -1"):
            small_recipe(**{name: -1.0})
    with pytest.raises(InvalidSetting, match=r"decay is 1\.5"):
        small_recipe(decay=1.5)


def test_the_oracle_reads_one_over_perplexity(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("ab" * 3000, encoding="utf-8")
    trainer = open_trainer(f"{path}:characters", small_recipe(), store=tmp_path / "store.sqlite")
    trainer.check(SPACE)
    with pytest.raises(InvalidSetting, match="read images"):
        trainer.check(named("nasbench-macro"))
    answer = trainer.train(CELL, 1, False, 0)
    record = trainer.record(CELL, 1, 0)["final"]["validation"]
    assert answer.validation_accuracy == np.float32(math.exp(-record["nats"] / record["tokens"]))
    assert trainer.train(CELL, 1, False, 0) == answer

"""Make constrained writing: a short text that uses all the given words, graded by code alone.

The task is CommonGen's (Lin et al. 2020, arxiv.org/abs/1911.03705) without its one-sentence rule;
with 20 to 30 words, as in `--from` files of Self-Refine's CommonGen-Hard (Madaan et al. 2023,
arxiv.org/abs/2303.17651), even large models miss some words at first. The seeded rows draw 3 to 5
words from our own list, for small models. The lower word limit keeps a bare list from passing.

    {"id": "keywords-0",
     "convo": [{"role": "user", "content": "Write a short text of 9 to 30 words. Use all of
                these words, each exactly as it is written here: owl, market, rope."}],
     "rubric_items": [
       {"rubric_str": "The text uses every given word, just as it is written",
        …, "name": "coverage", "weight": 3,
        "check": {"kind": "contains_all", "words": ["owl", "market", "rope"]}},
       {"rubric_str": "The text has 9 to 30 words",
        …, "name": "length", "check": {"kind": "words", "min": 9, "max": 30}},
       {"rubric_str": "The text speaks of the task", …, "name": "echo", "weight": -3,
        "check": {"kind": "contains_any", "words": ["words", …]}}]}
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from refinecli.generators.reading import Columns, checked
from refinecli.generators.shared_items import rubric_item
from refinecli.types import JSONObject


def generate(n: int, seed: int) -> Iterator[JSONObject]:
    """Yield the first n rows of this seed, of 3 to 5 words each."""
    rng = random.Random(seed)
    for index in range(n):
        words = rng.sample(WORDS, rng.randint(3, 5))
        yield {"id": f"keywords-{index}", **_task(words)}


def read(rows: Iterable[tuple[str, JSONObject]], with_response: bool) -> Iterator[JSONObject]:
    """Yield one datapoint a row, from the words in `concepts`; the row's other keys stay."""
    for where, row in rows:
        words = _concepts(Columns(where, row))
        dropped = {"concepts"} if with_response else {"concepts", "response"}
        kept = {key: value for key, value in row.items() if key not in dropped}
        yield checked(where, kept | _task(words))


def _concepts(columns: Columns) -> list[str]:
    concepts = columns.row.get("concepts")
    if not isinstance(concepts, list) or not concepts:
        problem = "field required" if concepts is None else "expected a list of words"
        raise columns.fault("concepts", problem, 'such as ["dog", "park", "ball"]')
    for index, word in enumerate(concepts):
        if not isinstance(word, str) or not word.strip():
            raise columns.fault(f"concepts[{index}]", "expected a word")
    return list(dict.fromkeys(word.strip() for word in concepts))


def _task(words: list[str]) -> JSONObject:
    """Build the prompt, its two checks, which measure exactly what it asks for, and a penalty for
    its echo."""
    listed = ", ".join(words)
    low, high = 3 * len(words), max(30, 10 * len(words))
    prompt = (
        f"Write a short text of {low} to {high} words. Use all of these words, each exactly as it "
        f"is written here: {listed}."
    )
    # The criterion does not list the words: a small model that copied it instead of writing would
    # pass.
    coverage = rubric_item(
        "The text uses every given word, just as it is written",
        name="coverage",
        weight=3,  # else junk of the right length would be half the score
        check={"kind": "contains_all", "words": words},
    )
    length = rubric_item(
        f"The text has {low} to {high} words",
        name="length",
        check={"kind": "words", "min": low, "max": high},
    )
    # The prompt, or a criterion with the words behind it, would pass the other two.
    echo = rubric_item(
        "The text speaks of the task",
        name="echo",
        weight=-3,  # as much as coverage, which an echo wins
        check={"kind": "contains_any", "words": [word for word in _ECHOES if word not in words]},
    )
    items = [coverage, length, echo]
    return {"convo": [{"role": "user", "content": prompt}], "rubric_items": items}


# Words of the prompt and the criteria that hardly belong to a text of its own.
_ECHOES = ("words", "given word", "every word", "short text", "the text", "as it is written")


# Every word can be a noun in the singular (a walk, the moon), so that a text can use it just as it
# stands; words mostly met in the plural and words with two spellings are left out.
_WORD_LIST = """
apple bread butter cake cheese chocolate coffee cream honey jam juice lemon milk pepper pie
pizza rice salad salt sandwich soup sugar tea water breakfast lunch dinner picnic recipe
house kitchen bedroom bathroom attic basement garage yard garden gate fence roof wall floor door
window table chair sofa bed lamp mirror carpet blanket pillow clock candle basket bottle bucket
bowl plate cup spoon fork knife oven box bag drawer closet stove
river lake ocean island beach forest mountain hill valley desert field meadow barn cave waterfall
pond sand mud snow ice rain storm thunder lightning fog wind sun moon sky rainbow sunset sunrise
winter summer spring autumn morning evening night weather shade fire smoke tree grass earth
dog cat horse cow pig sheep goat rabbit mouse fox wolf bear lion tiger elephant monkey owl eagle
parrot duck turtle frog snake fish whale dolphin shark spider bee butterfly kitten puppy dragon
teacher doctor farmer baker artist king queen princess pilot sailor soldier singer painter poet
writer nurse chef clown wizard knight pirate detective mayor friend mother father sister brother
grandmother grandfather uncle aunt cousin baby girl boy captain hunter driver stranger guest thief
school library museum hospital market bakery restaurant hotel park zoo church castle bridge tower
station airport village city town street road corner shop bank office factory stadium playground
tunnel path
car bus train truck bicycle boat ship canoe airplane helicopter rocket tractor wagon sled
book letter newspaper map pencil paper notebook camera phone radio television computer guitar piano
violin drum trumpet flute key coin ring necklace crown hat coat scarf dress umbrella jacket ladder
hammer rope shovel broom ball kite balloon doll puzzle puppet gift treasure flag bell whistle
lantern telescope compass anchor statue photo poem song story secret money gold silver
party wedding birthday festival parade concert journey vacation adventure lesson game race contest
walk dance smile laugh ride climb jump hug nap visit search surprise promise idea plan joke whisper
dream sleep work trip noise silence music magic heart voice face nose hair
"""
WORDS = tuple(_WORD_LIST.split())

"""Hold the words of the emails: people, shops, products, moods, tones."""

from __future__ import annotations

from dataclasses import dataclass

_FIRST_NAMES = """
Maya Tomas Priya Jonas Amara Felix Ingrid Kofi Lucia Henrik Yuki Omar Clara Dmitri Naomi Ravi
Elena Samuel Fatima George Hanna Idris Julia Kenji Leila Marcus Nina Oscar Paula Quentin Rosa
Stefan Tara Umberto Vera Walter Ximena Yusuf Zoe Agnes Bruno Celine Daniel Esther Farid Greta
Hugo Irene
"""
FIRST_NAMES = tuple(_FIRST_NAMES.split())
_LAST_NAMES = """
Lindqvist Okafor Marsh Delgado Petersen Iyer Novak Haddad Whitaker Kowalski Tanaka Bergstrom
Castellano Dubois Eriksen Fairbanks Gallagher Hoffmann Ivanova Jansen Kaplan Laurent Mbeki
Nakamura Oliveira Pritchard Quiroga Rahman Silva Thornton Underwood Vasquez Weston Yilmaz
Zimmerman Ashworth Brandt Chowdhury Donnelly Ferreira Grant Holloway Ito Juarez Kimani Lowell
Moreau Nyberg
"""
LAST_NAMES = tuple(_LAST_NAMES.split())
AGENTS = ("Alex", "Robin", "Kim", "Jo", "Sasha", "Chris", "Pat", "Dana", "Lee", "Toni")
LEADS = ("Ms Abbott", "Mr Osei", "Ms Carmona", "Mr Feld", "Ms Sato", "Mr Brennan", "Ms Varga")
_SHOP_NAMES = """
Fernhill Brightwater Oakmere Larkspur Stonegate Willowby Redcliff Harrowdale Maplecroft
Northfold Silverbeck Thistledown Eastmoor Copperlane Birchwick Goldenrow Heronsford Juniperhall
Kestrelbay Lindenway Mossgrove Pinecombe Quarrybank Ravensholt
"""
SHOP_NAMES = tuple(_SHOP_NAMES.split())


@dataclass(frozen=True, slots=True)
class Product:
    """A product, and what can be wrong with it, each a whole clause."""

    name: str
    price: tuple[int, int]  # from, to, in whole units of the currency
    fault: str  # it broke in normal use
    accident: str  # the customer broke it
    damage: str  # it came broken


@dataclass(frozen=True, slots=True)
class Trade:
    """The kind of things a shop sells."""

    suffixes: tuple[str, str]
    sells: str
    products: tuple[Product, ...]


TRADES = (
    Trade(
        ("Outdoor", "Trails"),
        "camping and hiking gear",
        (
            Product("two-person tent", (120, 320), "one of the poles snapped on a calm night",
                    "I put it up too near the campfire and burnt a hole in it",
                    "a seam of the inner tent was torn open"),
            Product("hiking backpack", (60, 180), "the main zip no longer closes",
                    "I shut the car door on it and tore a strap off", "the hip buckle was broken"),
            Product("camping stove", (35, 110), "the igniter has stopped sparking",
                    "it fell off a rock and the burner is bent", "the valve was cracked"),
            Product("sleeping bag", (70, 220), "the lining has come away from the filling",
                    "my dog chewed through the foot end", "the outer shell had a long cut"),
        ),
    ),
    Trade(
        ("Kitchen", "Table"),
        "kitchenware",
        (
            Product("stand mixer", (150, 400), "the motor stops after a minute or so",
                    "I knocked it off the counter and the arm is cracked",
                    "the bowl had a deep dent in it"),
            Product("espresso machine", (180, 520), "the pump makes a noise but no water comes",
                    "I left it in the frost and something inside has burst",
                    "the water tank was cracked"),
            Product("cast iron casserole", (50, 140), "the enamel is flaking off the bottom",
                    "I dropped the lid on the tiles and it broke", "the lid was chipped all round"),
            Product("set of steak knives", (40, 120), "two of the handles have come loose",
                    "I used one as a screwdriver and the tip broke off",
                    "one of the blades was bent"),
        ),
    ),
    Trade(
        ("Audio", "Sound"),
        "headphones and speakers",
        (
            Product("pair of headphones", (80, 340), "the left side has gone silent",
                    "I sat on them and the band is broken", "the hinge was broken in the box"),
            Product("pair of bookshelf speakers", (140, 420), "one of them crackles at any volume",
                    "my son pushed a pencil through the cone",
                    "one cabinet was split at the corner"),
            Product("turntable", (110, 380), "it no longer keeps its speed",
                    "I spilled tea into it", "the dust cover was shattered"),
            Product("portable radio", (30, 120), "the display has gone blank",
                    "it slid into the bath", "the aerial was snapped off"),
        ),
    ),
    Trade(
        ("Home", "Living"),
        "furniture and lamps",
        (
            Product("floor lamp", (60, 190), "it flickers and then goes out",
                    "the cat tipped it over and the shade is torn", "the shade was crushed"),
            Product("oak side table", (90, 260), "one leg has worked loose and will not tighten",
                    "I put a hot pan on it and it has left a burn",
                    "there was a deep scratch across the top"),
            Product("office chair", (110, 340), "it sinks as soon as I sit down",
                    "I stood on the armrest and it broke", "one of the castors was broken"),
            Product("wool rug", (80, 300), "it is unravelling along one edge",
                    "we spilled red wine on it", "it was soaked and stained at one end"),
        ),
    ),
    Trade(
        ("Cycles", "Wheels"),
        "bicycles and what goes with them",
        (
            Product("city bike", (280, 640), "the gears slip on every hill",
                    "I rode into a kerb and the front wheel is bent", "the rear mudguard was bent"),
            Product("child's bike seat", (50, 130), "the latch of the harness does not hold",
                    "I reversed the car into it", "the shell had a crack in it"),
            Product("set of bike lights", (20, 70), "the rear light switches itself off",
                    "I put them through the wash in my jacket", "the front lens was broken"),
            Product("cycling helmet", (35, 140), "the chin strap has come off its rivet",
                    "it fell from the balcony and has a crack", "the foam inside was split"),
        ),
    ),
    Trade(
        ("Toys", "Playhouse"),
        "toys and games",
        (
            Product("wooden train set", (30, 110), "the engine's wheels have come off",
                    "I stepped on the engine and broke it", "half of the bridge was splintered"),
            Product("electric keyboard", (60, 200), "three of the keys make no sound",
                    "my daughter poured juice over it", "two of the keys were broken off"),
            Product("dolls' house", (70, 220), "the front no longer shuts, the hinge is pulled out",
                    "our puppy has eaten the staircase", "one of the walls was cracked"),
            Product("remote control car", (40, 150), "it will not charge any more",
                    "we drove it into the pond", "the rear axle was bent"),
        ),
    ),
    Trade(
        ("Garden", "Greenery"),
        "garden tools and furniture",
        (
            Product("hedge trimmer", (70, 240), "it cuts out after a few seconds",
                    "I cut through its own cable", "the guard was broken in two"),
            Product("garden bench", (110, 330), "a slat has split down the middle",
                    "a branch I was sawing fell on it", "the armrest was broken"),
            Product("garden hose reel", (35, 120), "it leaks where the hose goes in",
                    "I left it out full in the frost and it burst", "the crank had no grip"),
            Product("cordless lawnmower", (220, 560), "the battery is flat after five minutes",
                    "I hit a stone and the blade is bent", "the handle was cracked"),
        ),
    ),
    Trade(
        ("Luggage", "Travel"),
        "bags and suitcases",
        (
            Product("cabin suitcase", (70, 260), "one of the wheels has stopped turning",
                    "I used it as a sledge with my nephew and the shell is cracked",
                    "the telescopic handle was stuck and bent"),
            Product("leather satchel", (90, 280), "the stitching of the strap has come undone",
                    "a pen leaked in it and the leather is stained",
                    "there was a long scrape across the flap"),
            Product("weekend bag", (50, 170), "the zip has split in the middle",
                    "I caught it on a nail and tore the side", "one of the handles was torn off"),
            Product("laptop backpack", (45, 160), "the padding has come away inside",
                    "a bottle of oil broke in it", "the front pocket was ripped"),
        ),
    ),
)  # fmt: skip
RETURN_REASONS = (
    "it is not what I had imagined from the photos",
    "it was meant as a present, and she has one already",
    "I find that I have no room for it",
    "the colour does not go with anything I own",
    "it is larger than I thought",
    "my plans have changed and I no longer need it",
    "I ordered it on a whim and have come to my senses",
    "my partner came home with the very same one",
)


@dataclass(frozen=True, slots=True)
class Mood:
    """A customer's way of writing, and what a good reply does about it."""

    openings: tuple[str, ...]
    closings: tuple[str, ...]
    met_by: str


MOODS = (
    Mood(
        ("I hope this finds you well.", "First of all, thank you for your lovely shop.",
         "I have been a happy customer of yours for some years."),
        ("Thank you for your help.", "Many thanks in advance, and have a good day.",
         "No hurry at all. Thank you!"),
        "returns the customer's friendliness",
    ),
    Mood(
        ("I have to say that I am disappointed.", "This is not what I am used to from you.",
         "I had expected better, to be honest."),
        ("I hope you can put this right.", "I would like to go on buying from you, so please help.",
         "I look forward to hearing how you will settle this."),
        "takes up the customer's disappointment without making excuses",
    ),
    Mood(
        ("I am FURIOUS.", "This is a joke, isn't it? I am done being patient.",
         "What kind of shop are you running?! I am very angry."),
        ("I expect an answer TODAY.", "Sort this out. Now.",
         "One more canned reply and I am never buying from you again."),
        "stays calm and takes the customer's anger seriously, without answering in kind",
    ),
    Mood(
        ("I am a bit worried and not sure whom to ask.", "Sorry to bother you with this.",
         "I am afraid that I may have done something wrong."),
        ("Sorry again for the trouble.", "Please tell me that this can be solved.",
         "I would be so relieved to hear from you."),
        "reassures the customer, without promising more than is so",
    ),
    Mood(
        ("Quick one, I am between meetings.", "I have little time, so here is the short version.",
         "Writing this from the train, so excuse my brevity."),
        ("Brief answer is fine.", "Just tell me what happens next.", "Yes or no will do. Thanks."),
        "respects that the customer has little time: what happens next is easy to find",
    ),
    Mood(
        ("It has been raining here for a week, so at last I get round to my letters.",
         "My granddaughter is helping me with this email, please be kind.",
         "You will not believe what a month I have had, but that is another story."),
        ("Give my regards to everybody in the warehouse.",
         "Now I will make myself a cup of tea and wait for your answer.",
         "That was longer than I meant it to be. All the best!"),
        "is personal enough for a chatty letter, without chatting back at length",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tone:
    """A shop's rules for its letters."""

    rules: tuple[str, ...]
    formal: bool = False  # greets with the full name


TONES = (
    Tone(("Warm and plain: one sentence of thanks or sympathy, then what we can do.",
          "No exclamation marks and no emojis.")),
    Tone(("Formal and courteous, without contractions (\"do not\", never \"don't\") or slang.",
          "Never suggest that the customer is to blame."), formal=True),
    Tone(("Come to the point: our decision stands in the first three sentences, reasons after it.",
          "Apologise at most once.")),
    Tone(("Friendly and upbeat, in everyday words; contractions are welcome.",
          "No office jargon, such as \"ticket\", \"as per\" or \"kindly note\".")),
    Tone(("Calm and respectful, whatever the customer's tone.",
          "Never use the word \"unfortunately\"; say what is possible.")),
    Tone(("Short sentences in plain English, for readers whose first language is another.",
          "No idioms and no irony.")),
    Tone(("Polite and matter-of-fact; one reason for every no.",
          "Close by saying what happens next."), formal=True),
)  # fmt: skip

//! The words of the synthetic language, by class. No word is in two classes.
//!
//! Each seed defines a different synthetic language. All languages have the same words, so they share one
//! tokenizer.

/// Names of people. The sentences of the language say which objects a person holds or carries, and state
/// facts about a person.
pub(super) const PEOPLE: [&str; 160] = [
    "ada", "agnes", "albert", "alice", "alma", "anders", "anna", "anton", "arthur", "astrid", "august",
    "axel", "beata", "bela", "benno", "bertha", "bianca", "boris", "bridget", "bruno", "carla", "carmen",
    "caspar", "cecil", "clara", "claude", "conrad", "cora", "dagny", "daniel", "daphne", "david", "dmitri",
    "dora", "dorian", "edgar", "edith", "edwin", "elias", "elsa", "emil", "emma", "erik", "esther", "eva",
    "fabian", "felix", "fiona", "flora", "frank", "frida", "fritz", "gerda", "gilbert", "gloria", "gregor",
    "greta", "gustav", "hanna", "harald", "hector", "hedwig", "helen", "henry", "hilda", "hugo", "ida",
    "ilse", "ingrid", "irene", "isaac", "ivan", "jakob", "jasper", "joan", "johan", "jonas", "judith",
    "julia", "justus", "karin", "karl", "katja", "kirsten", "klaus", "kurt", "lars", "laura", "lena", "leon",
    "lisa", "lotte", "louis", "lucas", "lydia", "magda", "marcus", "maria", "martha", "martin", "max",
    "mira", "moritz", "murray", "nadia", "nathan", "nils", "nina", "nora", "norbert", "olaf", "olga",
    "ophelia", "oscar", "otto", "paula", "pavel", "peter", "petra", "philip", "pia", "quentin", "ralph",
    "ramona", "rebecca", "robert", "roland", "rosa", "rudolf", "ruth", "sabine", "samuel", "sandra",
    "sigrid", "simon", "sonja", "stefan", "susan", "sven", "tessa", "theo", "thomas", "tilda", "tobias",
    "trude", "ulrich", "ursula", "uwe", "valentin", "vera", "victor", "vincent", "walter", "wanda", "werner",
    "wilma", "xaver", "yannick", "yvonne", "zelda",
];

/// Towns that people live in.
pub(super) const TOWNS: [&str; 20] = [
    "ardmoor",
    "belstow",
    "carnhill",
    "dunvale",
    "eastmere",
    "fernholt",
    "glenwick",
    "harford",
    "ilmouth",
    "kelbury",
    "longmarsh",
    "marwell",
    "northam",
    "oakridge",
    "pinfold",
    "ravensby",
    "stonebeck",
    "thornley",
    "upwood",
    "westbrook",
];

/// Trades of people.
pub(super) const CRAFTS: [&str; 20] = [
    "baker",
    "barber",
    "brewer",
    "butcher",
    "carpenter",
    "cobbler",
    "gardener",
    "glazier",
    "hatter",
    "jeweller",
    "miller",
    "painter",
    "potter",
    "printer",
    "roofer",
    "saddler",
    "sculptor",
    "smith",
    "tailor",
    "tanner",
];

/// Pets of people.
pub(super) const ANIMALS: [&str; 20] = [
    "canary", "cat", "dog", "donkey", "duck", "falcon", "ferret", "frog", "goat", "goose", "hamster",
    "hedgehog", "lizard", "parrot", "pigeon", "pony", "rabbit", "raven", "swan", "tortoise",
];

/// Dishes that people like.
pub(super) const DISHES: [&str; 20] = [
    "beans",
    "bread",
    "cake",
    "cheese",
    "cherries",
    "dumplings",
    "figs",
    "honey",
    "lentils",
    "mushrooms",
    "noodles",
    "pancakes",
    "pears",
    "pie",
    "plums",
    "porridge",
    "pudding",
    "rice",
    "soup",
    "stew",
];

/// Objects that people hold and carry.
pub(super) const OBJECTS: [&str; 40] = [
    "ball", "basket", "bell", "belt", "blanket", "bottle", "bowl", "box", "broom", "brush", "bucket",
    "candle", "chair", "clock", "coat", "comb", "cup", "doll", "drum", "fan", "flute", "glove", "hat", "jug",
    "key", "kite", "knife", "lamp", "mirror", "pillow", "plate", "puppet", "purse", "ring", "scarf", "trunk",
    "umbrella", "vase", "violin", "whistle",
];

/// Colours of objects.
pub(super) const COLOURS: [&str; 16] = [
    "beige",
    "black",
    "blue",
    "brown",
    "crimson",
    "green",
    "grey",
    "orange",
    "pink",
    "purple",
    "red",
    "scarlet",
    "turquoise",
    "violet",
    "white",
    "yellow",
];

/// Places of objects.
pub(super) const PLACES: [&str; 24] = [
    "attic",
    "bakery",
    "bathroom",
    "bedroom",
    "cellar",
    "chapel",
    "courtyard",
    "garage",
    "garden",
    "greenhouse",
    "hall",
    "kitchen",
    "laundry",
    "library",
    "museum",
    "nursery",
    "office",
    "pantry",
    "parlour",
    "shed",
    "stable",
    "study",
    "tower",
    "workshop",
];

/// Topics of passages. The topics form a ring. Neighbouring topics share nouns, listed in [`SHARED_NOUNS`].
pub(super) const TOPICS: [&str; 12] = [
    "sailing",
    "fishing",
    "cooking",
    "farming",
    "building",
    "mining",
    "trading",
    "travelling",
    "singing",
    "learning",
    "healing",
    "weaving",
];

/// Nouns that belong to one topic only, for each topic.
pub(super) const UNIQUE_NOUNS: [[&str; 8]; 12] = [
    ["anchor", "captain", "deck", "harbour", "lighthouse", "mast", "rudder", "sailor"],
    ["bait", "fisherman", "float", "herring", "hook", "net", "pond", "trout"],
    ["chef", "dough", "kettle", "oven", "pan", "spice", "spoon", "stove"],
    ["cattle", "farmer", "field", "harvest", "hay", "orchard", "plough", "scythe"],
    ["brick", "ladder", "mortar", "plank", "roof", "scaffold", "wall", "window"],
    ["cavern", "coal", "miner", "ore", "pickaxe", "quarry", "shaft", "tunnel"],
    ["bargain", "coin", "customer", "ledger", "market", "merchant", "price", "stall"],
    ["border", "bridge", "guide", "journey", "luggage", "map", "road", "ticket"],
    ["choir", "chorus", "concert", "harmony", "melody", "rhythm", "singer", "tune"],
    ["alphabet", "blackboard", "chalk", "exam", "lecture", "pupil", "school", "teacher"],
    ["cough", "cure", "fever", "nurse", "ointment", "patient", "pulse", "wound"],
    ["carpet", "cloth", "dye", "loom", "spindle", "thread", "wool", "yarn"],
];

/// Nouns that a topic shares with the next topic of the ring, for each topic.
pub(super) const SHARED_NOUNS: [[&str; 2]; 12] = [
    ["boat", "tide"],
    ["fillet", "salt"],
    ["flour", "onion"],
    ["barn", "fence"],
    ["beam", "shovel"],
    ["cart", "silver"],
    ["caravan", "inn"],
    ["minstrel", "tale"],
    ["lesson", "verse"],
    ["doctor", "scroll"],
    ["bandage", "linen"],
    ["canvas", "rope"],
];

/// Returns all lists of words.
pub(super) fn word_lists() -> Vec<&'static [&'static str]> {
    let mut lists: Vec<&[&str]> =
        vec![&PEOPLE, &TOWNS, &CRAFTS, &ANIMALS, &DISHES, &OBJECTS, &COLOURS, &PLACES, &TOPICS];
    lists.extend(UNIQUE_NOUNS.iter().map(|list| &list[..]));
    lists.extend(SHARED_NOUNS.iter().map(|list| &list[..]));
    lists
}

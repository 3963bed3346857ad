"""The words of LaMP-mini: plain lists, grouped by what a text can be about and by the voice it can have.

Only `lampbench.mini.generator` reads them. Changing a list changes the benchmark: raise its GENERATOR_VERSION.
"""

from __future__ import annotations


def _groups(text: str) -> dict[str, tuple[str, ...]]:
    """`name: word word …` per line, to a dictionary."""
    lines = (line.split(":", 1) for line in text.strip().splitlines())
    return {name.strip(): tuple(words.split()) for name, words in lines}


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.strip().split(";"))


# Research fields: LaMP-1 (citation) and LaMP-5 (paper titles).
FIELDS = _groups("""
parsing: parser grammar treebank dependency constituency syntax tagger morphology lemma chunking corpus annotation ambiguity phrase clause discourse coreference anaphora
translation: translation bilingual alignment decoder phrasebook reordering multilingual transliteration interlingua pivot subword fluency adequacy bitext localization dialect glossary idiom
vision: image pixel segmentation detector contour texture saliency stereo keypoint silhouette occlusion camera illumination hue patch panorama depth scene
speech: speech acoustic phoneme vowel prosody speaker microphone utterance spectrogram diarization intonation voice accent whisper syllable cepstral pitch dictation
robotics: robot gripper manipulator odometry trajectory actuator locomotion humanoid drone navigation obstacle kinematics torque waypoint docking swarm legged teleoperation
databases: query index transaction relational schema tuple join warehouse partition replication locking btree storage predicate cardinality sharding materialization catalog
networks: packet router congestion latency bandwidth topology multicast wireless spectrum handover gateway broadcast queueing throughput jitter backbone peering antenna
security: cipher malware firewall intrusion authentication encryption forgery phishing botnet sandbox exploit certificate keystroke anonymity leakage obfuscation honeypot ransomware
graphs: graph vertex clique coloring matching spanning planar treewidth subgraph isomorphism centrality hypergraph adjacency cutset lattice percolation expander shortest
compilers: compiler register loop inlining bytecode pointer aliasing vectorization scheduler linker runtime closure garbage polymorphism typechecker macro assembler unrolling
genomics: genome sequencing mutation allele transcript exon phylogeny methylation promoter nucleotide chromosome splicing haplotype contig plasmid variant codon epigenetic
proteins: protein folding residue ligand docking enzyme helix peptide antibody chaperone sidechain binding conformation inhibitor kinase membrane receptor crystal
climate: climate rainfall glacier aerosol ocean drought monsoon emission temperature humidity cyclone permafrost albedo upwelling carbon reanalysis snowpack heatwave
astronomy: galaxy telescope quasar redshift asteroid exoplanet supernova nebula pulsar orbit photometry cluster accretion spectrograph comet parallax corona halo
finance: portfolio volatility hedging option liquidity credit equity arbitrage bond pricing yield default investor drawdown dividend futures brokerage solvency
healthcare: patient diagnosis clinical hospital triage radiology dosage symptom cohort readmission nursing biopsy screening mortality therapy ward insulin sepsis
education: student tutor curriculum classroom essay homework grading learner lecture exam misconception mastery pedagogy dropout textbook quiz feedback literacy
recommendation: recommender rating collaborative item session playlist preference catalogue basket novelty serendipity click implicit popularity coldstart shopper wishlist explanation
economics: auction market incentive bidder welfare mechanism equilibrium contract labor tariff externality cartel subsidy bargaining monopoly taxation signaling utility
physics: qubit entanglement photon superconductor lattice boson magnet plasma laser decoherence tunneling fermion resonator phonon vortex collider neutrino spin
materials: alloy polymer ceramic graphene battery electrode corrosion annealing nanowire catalyst porosity composite fatigue coating crystal tensile sintering adhesive
vehicles: vehicle lane driver intersection braking pedestrian platoon parking traffic steering lidar commuter ramp collision bicycle fleet roundabout highway
games: game player puzzle chess bluffing tournament avatar rollout opponent quest reward checkers arcade level strategy opening endgame leaderboard
archives: archive manuscript papyrus catalog curator provenance digitization folio inscription scribe parchment museum restoration codex metadata ledger watermark heritage
""")

RESEARCH_ADJECTIVES = tuple(
    "robust scalable adaptive sparse efficient hierarchical probabilistic incremental distributed interactive "
    "unsupervised temporal bayesian modular compact stochastic contextual dynamic generative reliable".split()
)
RESEARCH_NOUNS = tuple(
    "analysis estimation modeling selection prediction inference discovery optimization evaluation retrieval "
    "compression simulation planning monitoring clustering verification".split()
)
RESEARCH_TOOLS = tuple(
    "kernels embeddings ensembles attention sampling constraints automata regularization wavelets heuristics "
    "transformers priors pruning contrastive distillation bootstrapping".split()
)
# What an author calls a piece of work (LaMP-5): one of the habits of a persona.
WORK_WORDS = ("approach", "framework", "study", "perspective", "method", "model", "survey", "toolkit")

# Aspects of a movie, one per tag of LaMP-2; the key is the tag with hyphens for spaces.
ASPECTS = _groups("""
sci-fi: spaceship android alien galaxy laser hologram starship teleport cyborg wormhole colony clone robot asteroid
based-on-a-book: novel author chapter adaptation bestseller literary manuscript narrator paperback pages prose library volume epilogue
comedy: hilarious prank clumsy goofy slapstick banter mishap sitcom clown joke giggle awkward wacky laughter
action: explosion chase bullet stunt commando heist rooftop helicopter fistfight convoy ambush sniper motorcycle showdown
twist-ending: reveal unexpected secret betrayal disguise double culprit shock hidden misdirection impostor illusion unmasked riddle
dystopia: regime ration surveillance uprising wasteland curfew totalitarian bunker overseer rebellion barcode propaganda ruins checkpoint
dark-comedy: morbid funeral cynical corpse deadpan undertaker sarcastic bleak absurd macabre coffin gallows irony misfortune
classic: vintage timeless silent legendary monochrome golden iconic celebrated masterpiece restored epic technicolor studio reel
psychology: therapist obsession memory paranoia nightmare amnesia delusion patient asylum trauma identity hypnosis fixation subconscious
fantasy: wizard dragon kingdom spell elf prophecy enchanted sword goblin sorcerer realm unicorn potion throne
romance: wedding kiss lovers sweetheart proposal bride letters heartbreak dance flirt soulmate honeymoon roses courtship
thought-provoking: philosophy meaning question moral existence dilemma belief truth conscience destiny doubt wisdom mortality reflection
social-commentary: inequality protest class poverty strike housing immigrant privilege union corruption factory justice prejudice landlord
violence: brutal blood revenge gang knife torture massacre murder weapon savage vendetta mobster assault slaughter
true-story: biography real historical survivor journalist veteran documented archive trial decade witness pioneer memoir actual
""")
MOVIE_ROLES = tuple(
    "detective teacher soldier widow farmer sailor violinist doctor waitress pilot orphan lawyer painter thief baker "
    "professor nurse boxer gardener reporter".split()
)
MOVIE_VERBS = tuple(
    "discovers confronts escapes follows inherits remembers protects questions chases survives".split()
)

# Products of LaMP-3.
PRODUCTS = _groups("""
lamp: lamp bulb shade brightness switch cord bedside glow
kettle: kettle lid spout boil handle steel water base
headphones: headphones earcup bass cable volume cushion sound bluetooth
backpack: backpack zipper strap pocket lining laptop buckle seam
blender: blender blade jar smoothie motor pulse ice speed
mattress: mattress foam firmness cover sleep edge bounce spring
novel: novel plot chapter hero ending dialogue prose pages
shampoo: shampoo scent lather scalp bottle hair rinse curl
drill: drill bit chuck battery grip torque screw trigger
tent: tent pole rain peg canopy zip stake fabric
sneakers: sneakers sole laces toe arch heel mesh size
keyboard: keyboard keys layout backlight wrist typing spacebar click
coffee: coffee roast aroma beans brew crema mug taste
toy: toy pieces wheels puzzle children paint box magnet
camera: camera lens zoom focus tripod flash sensor shutter
jacket: jacket sleeve hood collar insulation button fleece wind
""")
# How a text of opinion level 1 (worst) to 5 (best) sounds.
OPINIONS = _groups("""
1: awful terrible useless horrible defective worthless dreadful broken garbage disastrous appalling unusable
2: disappointing weak flimsy mediocre annoying poor lacking cheap unreliable dull clumsy frustrating
3: okay average acceptable decent ordinary passable fair adequate middling standard reasonable tolerable
4: good solid pleasant nice reliable handy comfortable likable neat capable useful satisfying
5: excellent superb fantastic perfect outstanding amazing flawless brilliant wonderful exceptional stunning magnificent
""")
# Temper: how a reviewer talks besides the verdict. Strict, neutral and lenient reviewers.
TEMPERS = {
    -1: _phrases(
        "I expect more from this brand; there is always room for improvement; I am hard to please; "
        "details matter to me; "
        "for the price I want perfection; I compared it with three others; quality control should do better; "
        "I noticed every little flaw"
    ),
    0: _phrases(
        "it arrived on a weekday; I use it at home; the box was brown; I bought one for the office; "
        "my neighbour has the same one; I ordered it last month; the manual is short; it came in two colours"
    ),
    1: _phrases(
        "no complaints from me; it made my whole week; I am easy to please; thanks to the friendly seller; "
        "everybody deserves one; small things never bother me; I smile when I see it; happy to support them again"
    ),
}

# News of LaMP-4: what is reported, with verbs that fit.
NEWS = _groups("""
politics: budget reform election ballot senate treaty mayor governor veto campaign referendum coalition
sports: final league transfer coach stadium penalty marathon medal champion rookie playoff referee
business: merger startup profit layoffs shares factory supplier bankruptcy shareholder retailer export takeover
science: vaccine fossil satellite experiment laboratory discovery telescope volcano species microscope reactor genome
weather: storm flood blizzard heatwave hurricane drought tornado landslide thunder wildfire frost downpour
food: recipe bakery restaurant chef harvest vineyard cheese noodles barbecue spices dessert market
travel: airport cruise hotel beach passport luggage railway resort tourist ferry island border
health: clinic surgery outbreak nurse allergy hospital fitness insomnia asthma therapy diet surgeon
crime: robbery trial burglary verdict smuggling fraud detective arson jury hostage warrant forgery
culture: museum festival orchestra gallery theatre sculpture opera exhibition ballet poetry sculptor premiere
education: school campus scholarship teacher tuition exam principal textbook dormitory graduation literacy kindergarten
technology: smartphone robot chip software browser hacker laptop drone startup server gadget encryption
housing: rent landlord skyscraper mortgage renovation suburb tenant eviction plumbing neighborhood apartment blueprint
animals: shelter puppy zoo elephant rescue dolphin beekeeper owl wolf penguin stable aquarium
fashion: runway designer denim sneakers jewelry couture perfume handbag tailor wardrobe boutique silk
transport: subway highway bridge cyclist tunnel electric commuter tram ferry bus parking crossing
""")
NEWS_VERBS = tuple(
    "backs rejects unveils investigates celebrates defends delays rebuilds questions announces saves inspects "
    "funds praises halts reopens".split()
)
OPENERS = _phrases(
    "breaking; exclusive; opinion; watch; analysis; just in; in brief; live updates; fact check; the big read"
)
CLOSERS = _phrases(
    "officials say; and it matters; explained; what we know; in photos; sources confirm; here is why; a timeline; "
    "report finds; readers respond"
)

# Everyday tweets of LaMP-7.
EVERYDAY = _groups("""
morning: breakfast alarm pancakes toast sunrise shower cereal coffee
commute: train traffic bus platform ticket seat delay bicycle
work: meeting deadline boss spreadsheet email office printer report
weekend: picnic couch garden brunch nap hike market party
music: concert guitar album chorus playlist drummer lyrics stage
sports: match goal gym team sprint score coach stadium
pets: puppy kitten leash parrot hamster tail whiskers walk
cooking: soup oven garlic noodles curry dessert onion recipe
movies: trailer sequel cinema popcorn villain actor ending episode
weather: rain sunshine snow umbrella storm fog breeze heat
school: exam homework lecture teacher library essay semester notes
phone: battery charger screen app update selfie signal camera
travel: airport suitcase beach flight hotel passport map island
games: console level puzzle boss quest controller teammate lobby
books: novel chapter bookshop cover author library plot shelf
family: sister birthday cousin grandma dinner wedding baby uncle
""")
TWEET_OPENERS = _phrases(
    "omg; honestly; well; ugh; yo; folks; listen; oh dear; psst; real talk; good grief; hey all"
)
TWEET_CLOSERS = _phrases(
    "lol; so true; just saying; no joke; haha; sigh; you know; the end; for real; bless; who knew; period"
)
# The neutral word of the input and what different people say for it.
SLANG = {
    "very": ("so", "super", "mega", "crazy", "totally", "terribly"),
    "friend": ("buddy", "mate", "pal", "bro", "bestie", "chum"),
    "good": ("dope", "lovely", "awesome", "neat", "fab", "grand"),
    "bad": ("lame", "rubbish", "nasty", "grim", "gross", "dire"),
}

TIMES = tuple("today yesterday tonight tomorrow again finally already lately".split())
PLACES = tuple(
    stem + end
    for stem in (
        "Ash Brook Clay Dun East Fern Green Hart Iron King Lang Mill North Oak Pine Red Stone Thorn West Wood Gold "
        "Black Silver Raven Fox Holly Marsh Moor Swan Wind"
    ).split()
    for end in ("ford", "ton", "field", "wick", "haven", "dale", "bury", "mouth", "stead", "gate")
)
SURNAMES = tuple(
    stem + end
    for stem in (
        "Ander Ber Car Dal El Fal Gar Hal Jan Kel Lin Mar Nor Ol Pet Ros Sal Tor Ul Val Wil Zan Bran Cor "
        "Dor Hep Lom Mun Sten Tam"
    ).split()
    for end in ("son", "ley", "man", "ini", "berg", "wood", "kins", "ster", "ova", "quist")
)

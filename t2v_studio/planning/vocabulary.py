"""The word lists that planning reads topics and sentences with."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTION_WORDS = _words(
    """
    a an the and or but nor so yet if then else than that this these those it its they them their he she his her
    we us our you your i of in on at by for to from with without into onto over under between among through
    during across against about as per via within is are was were be been being am has have had do does did can
    could may might must shall should will would not no only just very too also even still already often always
    never sometimes usually typically generally simply mostly more most less least much many few such each every
    all any some both either neither other another same which who whom whose what when where why how while
    because since although though whereas until unless once there here thus hence therefore however moreover
    furthermore well now up down out off again further including include one two three several various etc e.g
    i.e given like unlike rather quite almost nearly able due except whether instead
    """
)
"""Words that carry no content of their own."""

VERBS = _words(
    """
    use uses used using call calls called find finds found give gives gave make makes made take takes took taken
    get gets got become becomes became need needs needed want wants wanted know knows known see sees seen show
    shows showed shown say says said mean means meant let lets keep keeps kept compute computes computed
    computing calculate calculates calculated define defines defined denote denotes denoted represent represents
    represented describe describes described obtain obtains obtained consist consists contain contains contained
    include includes included depend depends depended require requires required provide provides provided
    produce produces produced allow allows allowed apply applies applied lead leads led follow follows followed
    hold holds held lie lies increase increases increased decrease decreases decreased grow grows grew reduce
    reduces reduced minimize minimizes minimise minimises minimized maximize maximizes maximise maximises solve
    solves solved converge converges converged diverge diverges return returns returned choose chooses chose
    chosen select selects selected measure measures measured determine determines determined assume assumes
    assumed consider considers considered perform performs performed work works worked learn learns learned
    train trains trained predict predicts predicted classify classifies classified assign assigns assigned
    compare compares compared replace replaces replaced start starts started begin begins began stop stops
    stopped move moves moved go goes went come comes came turn turns turned change changes changed happen
    happens occur occurs occurred exist exists appear appears appeared remain remains remained seem seems tend
    tends try tries tried help helps express expresses expressed write writes written read reads ensure ensures
    prevent prevents cause causes caused yield yields yielded generate generates generated correspond
    corresponds involve involves involved satisfy satisfies equal equals based widely gain gains introduces
    introduce introduced exploit exploits suffer suffers fit fits fitted deal deals stored looking look
    recommend greatly simplify simplifies encode encodes refer refers referred think thinks treat treats treated
    sum sums add adds added subtract subtracts multiply multiplies divide divides expand expands explore
    explores rely relies relied enforce enforces spans result results resulting accept accepts exhibits lacks lose loses doing make include write seek seeks aim aims build builds built combine combines combined approximate approximates
    approximated
    """
)
"""Common verbs of textbooks: they end a noun phrase."""

WEAK = _words(
    """
    thing things way ways case cases number kind kinds type types example examples fact order part parts point
    lot form use idea set problem problems good better best large small new different possible important common
    main first second next last simple basic well general certain popular useful
    """
)
"""Nouns and adjectives that say little on a label."""

TWO_LETTERS = _words(
    """
    am an as at be by do go he if in is it me my no of oh on or so to up us we vs ie eg st ad ex id ok pi mu
    """
)
"""Two-letter words; any other pair of letters is taken for a symbol."""

ADJUNCT = _words(
    """
    of for in on between with under
    """
)
"""Prepositions that may join two noun phrases on a label."""

PROPER = _words(
    """
    bayes bayesian markov euler fourier newton gauss gaussian laplace taylor dijkstra kalman monte huffman
    bellman ford lagrange jacobi nash turing python hilbert riemann poisson bernoulli boltzmann hopfield fisher
    shannon pythagoras galois cauchy runge kutta crank simpson student wasserstein kruskal prim floyd hamming
    hamilton schrödinger maxwell einstein darwin mendel keynes english german french european american africa
    asia earth java linux fibonacci
    """
)
"""Names that keep their capital inside a sentence."""

NEEDS_A = _words(
    """
    table tree network graph matrix array queue stack heap filter list classifier neuron perceptron chain
    automaton machine autoencoder transformer database compiler kernel distribution forest encoder decoder layer
    vector function variable cell circuit
    """
)
"""Heads of a topic that take an indefinite article in a sentence."""

NEEDS_THE = _words(
    """
    algorithm theorem method rule equation transform trick test scheme principle law formula criterion
    trade-off tradeoff dilemma paradox
    """
)
"""Heads of a topic that take a definite article in a sentence."""

JOINING = _words(
    """
    and of the in for to with
    """
)
"""Words left out when a topic is compared with an alias."""

GENERIC = _words(
    """
    algorithm method approach technique model rule trick scheme function network procedure analysis machine
    classifier problem theory principle concept system process numerical basic
    """
)
"""Words that many names share: alone they do not name a topic."""

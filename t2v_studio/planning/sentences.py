"""Which sentences of a book can be said aloud, how they are trimmed, and what label stands for them.

A sentence is taken whole or cut at a clause border. One that leans on something the viewer does not
see (a figure, an equation's number, "this", code, half a formula) is refused.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

from t2v_studio.library.sentences import split
from t2v_studio.planning.vocabulary import ADJUNCT, FUNCTION_WORDS, TWO_LETTERS, VERBS, WEAK

_BE = frozenset(["is", "are", "was", "were", "can", "will", "may", "must", "should", "does", "do", "has", "have"])
MIN_WORDS = 6
MAX_WORDS = 28
"""Longest `say`, in words: ten seconds of speech. A limit of 22 cost too many good sentences; long ones lose in the choice instead."""

_BULLET = re.compile(r"(?:^|\s)[•▪◦■](?:\s+|$)")
_REFERENCE_WORD = (
    r"(?:see|cf\.?|e\.g\.,?\s+see|as\s+in|from|in|by|of)?\s*"
    r"\b(?:Figs?|Figures?|Eqs?|Eqns?|Equations?|Secs?|Sects?|Sections?|Chapters?|Chaps?|Tables?|Appendix|Appendices|Exercises?|Listings?|Algorithms?|Theorems?|Lemmas?|Examples?|Pages?|pp?)\b"
)
_RUN_IN = re.compile(r"^[A-Z][\w-]*(?: [\w-]+){0,2}:\s+(?=[A-Z]\S* \S+ \S+ \S+ \S+)")
"""A run-in heading before a whole sentence: "Sparse: SVMs are …"."""
_BRACKETED = re.compile(
    r"\s*\((?:[^()]*?\b(?:Fig|Figure|Eq|Eqs|Equation|Sec|Section|Chapter|Table|Appendix|Exercise|Listing|see|cf|chap|pp?)\b\.?[^()]*|[^()]*\b(?:19|20)\d\d[a-z]?)\)",
    re.IGNORECASE,
)
_CITATION = re.compile(r"\s*\[(?:\d+(?:\s*[,;–-]\s*\d+)*|[A-Z][A-Za-z+]{1,10}\d{2,4})\]")
_SEE_CLAUSE = re.compile(
    r",?\s*(?:\(?see|cf\.)\s+(?:also\s+)?"
    + _REFERENCE_WORD
    + r"\.?\s*\(?[\dA-Z][\d.A-Za-z-]*\)?(?:\s+TODO)?(?=[.,;)]|$)",
    re.IGNORECASE,
)
_IN_REFERENCE = re.compile(
    r",?\s+(?:in|from|by|as\s+(?:shown|illustrated|seen|described|depicted|discussed)\s+in|is\s+illustrated\s+in)\s+(?:Fig(?:ure)?|Sect?(?:ion)?|Chap(?:ter)?|Table|Appendix|Eq(?:uation)?)\.?\s*\(?\d[\d.]*\)?(?:\s+TODO)?\s*,?",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"^(?:However|Thus|Therefore|Hence|Consequently|Moreover|Furthermore|In addition|Additionally|Indeed|In fact|Of course|Clearly|Obviously|"
    r"Actually|Basically|Essentially|Fortunately|Unfortunately|Interestingly|Nevertheless|Nonetheless|Finally|First|Firstly|Second|Secondly|Third|"
    r"Thirdly|Next|Now|Similarly|Likewise|Also|Note|Notice|Recall|For example|For instance|On the other hand|On the contrary|In contrast|By contrast|"
    r"In other words|In particular|As a result|As a consequence|In this case|That is|In general|Intuitively|More precisely|Specifically|In summary|"
    r"To summari[sz]e|In short|Again|Alternatively|Instead|Conversely|At the same time|As before|As usual|Equivalently|Besides|Still|Yet)\s*,\s*(?:that\s+)?"
    r"|^(?:Note|Notice|Observe|Recall|Remember)\s+(?:also\s+)?that\s+|^(?:Hence|Thus|Therefore|So|But|And|Now(?! that\b)|Then|Also)\s+(?:(?:we\s+see\s+)?that\s+)?(?=[a-z])"
    r"|^(?:It turns out|It can be shown|It is well known|It is known|It is clear|It is obvious|It follows|We see|We know|One can show|This means|In fact)\s+that,?\s+"
    r"|^Summari[sz]ing[^,]{0,40},\s+(?:we \w+ that\s+)?"
    r"|^As we (?:have seen|know|saw|can see),\s+|^We (?:have seen|see|saw|know)\s+(?:above\s+)?that\s+",
    re.IGNORECASE,
)
_DANGLING = re.compile(
    r"^(?:(?:This|These)(?! \w+ of\b)|Those|That|It(?! is (?:\w+ly )?(?:important|possible|impossible|easy|hard|difficult|common|useful|necessary|convenient|tempting|natural|essential|helpful|sufficient|customary|best|better|wise|crucial|desirable) (?:to|that)\b)|Its|It's|They|Them|Their|He|She|His|Her|Such|Here|Which|Both|Another|Others?|Either|Neither|Same|Above|Below|"
    r"So|But|And|Or|Nor|Then|Thereby|Thereafter|Otherwise|Doing|Because of (?:this|that)|For this|For these|For that|In this|In these|In that|In such|"
    r"With this|With these|By this|At this|To this|From this|On this|Under this|After this|Before this|As such|As above|Like this|Again|Likewise|Similarly|"
    r"The (?:lower|upper|left|right|name|plot|plots|latter|former|same|above|following|previous|next|last|first|second|third|fourth|other|two|three|resulting|corresponding|idea here|reason|result|answer|"
    r"remaining|present|current|proof|figure|table|book|chapter|section|expression|notation|term|equation|program|code|file|function call)\b|One such|An alternative|One (?:popular |possible |common |simple |natural |other )?(?:approach|way|solution|option|method|reason|problem|issue)(?! (?:of|with|to|for)\b)|"
    r"[A-Z][a-z]+ed that|All (?:this|these)|"
    r"Each of (?:these|them)|Some of (?:these|them)|Most of (?:these|them)|None of (?:these|them)|Let|Suppose|Consider|Recall|Define|Denote|Show|Prove|Solve|Find|Write|"
    r"Implement|Make|Use|Given this|If so|If not|Left|Right|Top|Bottom|Figure|Fig|Table|Exercise|Problem|Theorem|Lemma|Proof|Answer|Hint|Remark|Filename)\b"
)
_LEANS = re.compile(
    r"\b(?:this|these|those|our|the (?:above|following|next|previous|preceding|present|latter|former|reader|author|book))\s+(?:section|chapter|book|text|example|figure|table|equation|"
    r"exercise|appendix|expression|formula|problem|case|code|program|file|situation|reason|way|model|scheme|method|approach|algorithm|result|quantity|two|is|are)\b"
    r"|\b(?:as follows|the following|shown (?:above|below|here|earlier)|(?:see|given|listed|described|defined|mentioned|stated|discussed|presented|derived|introduced) (?:above|below|earlier|before|later|previously|in)"
    r"|above (?:equation|formula|expression|example|figure|discussion|algorithm)|above[,.]|below[,.]|earlier[,.]|later (?:chapters?|sections?|on)|so far|like the present one|"
    r"we (?:include|focus|study|cover|return|refer|will|shall|have seen|saw|now|discuss|describe|present|introduce|showed|refer|illustrate|omit|just|already)|let us|let's|I|my|mine|ourselves|TODO|homework|instructor|we (?:stick|restrict|limit)|"
    r"in what follows|recall that|this (?:is|means|gives|was|can|may|will|implies|leads|shows|allows|makes)|to do this|the same (?:way|manner|as before))\b"
    r"|(?<!but )(?<!and )\bsuch (?!as\b|that\b)|^(?:\S+\s+){1,7}(?:this|these|those)\b"
    r"|\b(?:this|these|those) (?:two|three|four|kinds?|sort|type|property|fact|idea|question|point|example|parameter|function|value|term|product)"
    r"|\b(?:in|by|with) the \w+ (?:theorem|figure|table|equation|listing)\.$"
    r"|\b(?:two|three|four|five|several)\b[^.,:]{0,30}\b(?:reasons|ways|cases|problems|steps|options|types|kinds|things|parts|versions)\.$",
    re.IGNORECASE,
)
_CARRIES_OVER = re.compile(
    r"^(?:\S+\s+){0,4}(?:it|they|them)\b(?! is (?:possible|necessary|important|useful|easy|hard|common|convenient|clear|known))|\binstead\b(?! of)|^(?:\S+\s+){0,3}then\b"
    r"|^(?:Contrary to|Unlike|Compared (?:to|with)|In contrast to|As opposed to)\b[^,]*, (?:it|they)\b"
    r"|\bthe (?:first|second|third|last|other|reverse) (?:one|way|order|case|step|approach|method|option|two)\b|\bonce more\b|\bagain and again\b(?=[^.])",
    re.IGNORECASE,
)
"""A pronoun or a second mention whose first stood in the sentence before."""
_CONNECTIVE = re.compile(r",? (?:therefore|thus|hence|however|consequently|moreover|furthermore),? (?=[a-z])")
_HEADING_GLUE = re.compile(r"[a-z)] (?:We|The|This|In|It|If|To|For|An|When|Here|Let|As|Now) [a-z]")
_NUMBERED = re.compile(
    r"\b(?:Figs?|Figures?|Eqs?|Eqns?|Equations?|Secs?|Sects?|Sections?|Chapters?|Chaps?|Tables?|Appendix|Exercises?|Listings?|Algorithms?|Theorems?|Lemmas?|Examples?|Problems?|Pages?|Steps?|Ref)\b\.?\s*\(?[A-Z]?\d"
    r"|\(\s*[A-Z]?\d+(?:\.\d+)*[a-z]?\s*\)|\[\s*\d",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"\w\(\)|[;{}]\s*$|::|==|->|=>|>>>|`|\bdef\b|\bimport\b|\breturn\s+\w+\(|\w_\w|\.(?:py|pdf|txt|com|org|html|c|h)\b|https?:|www\.|@\w|\b[a-z]+[A-Z][a-z]+\b|\w\[\w"
)
_MATHS = re.compile(
    r"[=<>≜∑∫∂√∏{}\\|^_~≤≥≈≠∈∉⊂∪∩∀∃→←↔⇒⇔∇∞±×÷∗·+∆∝⟨⟩⊤¬∧∨†‡§¶•■□◦]|[\ue000-\uf8ff]|[\u0300-\u036f]|[\x00-\x08\x0b-\x1f\x7f\ufffd]|[\u2100-\u214f\u2070-\u209c]|[−*/](?=\s|\d)|\w−\w|[å](?=\s)"
)
_STEP_SIZE = re.compile(r"(?<![^\s(])[∆Δ][a-z](?=[\s.,;)])")
"""A step size is read aloud as one symbol: "∆t is too large"."""
_GERUND = re.compile(r"^[A-Z][a-z]+ing\b")
_BROKEN = re.compile(r"[\ue000-\uf8ff\ufffd\x00-\x08\x0b-\x1f≜]|[åÕ](?=\s)|\s[\u0300-\u036f]")
_BIG_O = re.compile(r"\b[OΘΩ]\([^()]{1,24}(?:\([^()]*\))?[^()]{0,6}\)")
_MATHS_LETTERS = re.compile("[\U0001d400-\U0001d7ff]")
_HYPHEN_BREAK = re.compile(r"[a-z]-\s[a-z]")
_CONTRAST = re.compile(
    r"\b(?:not|no|never|unless|except|only|however|but|without|if|otherwise|although|though)\b", re.IGNORECASE
)
_BORDER = re.compile(
    r";\s+|\s+[–—]\s+|,\s+(?=(?:which|where|because|since|whereas|while|so|i\.e\.|e\.g\.|such as|for example|for instance|namely|hence|thus|therefore|and (?:hence|thus|therefore|we)|and (?:it|they|the|this)\s(?:\S+\s+){0,6}(?:is|are|was|were|has|have|can|will|does|do|must|may)\b|thereby|making|giving|leading)\b)|:\s+(?=[a-z])"
)
_SUBORDINATE = re.compile(
    r"^(?:If|When|While|Since|Because|Although|Though|As|Once|After|Before|Unlike|Whenever|Whereas|Given|For|In|With|By|To|At|On|From|Under)\b"
)


def clean(sentence: str) -> str:
    """The sentence without citations, references in brackets and a leading connective."""
    text = " ".join(_MATHS_LETTERS.sub(lambda match: unicodedata.normalize("NFKC", match[0]), sentence).split())
    text = text.replace("\u00ad", "")
    text = _RUN_IN.sub("", text)
    text = _BRACKETED.sub("", text)
    text = _CITATION.sub("", text)
    text = _SEE_CLAUSE.sub("", text)
    text = _IN_REFERENCE.sub(" ", text)
    for _ in range(2 if text[:1].isupper() else 0):
        text = _LEADING.sub("", text).strip()
    text = _CONNECTIVE.sub(" ", text, count=1) if text[:1].isupper() else text
    text = re.sub(r"\s+([.,;:!?])", r"\1", re.sub(r"\s{2,}", " ", text)).strip()
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+\b(?!-)", text) and text != sentence[: len(text)] else text


def aloud(text: str) -> str:
    """The text with step sizes as the words they are read as."""
    return _STEP_SIZE.sub("step", text)


def garbled(passage: str) -> bool:
    """Whether a passage holds signs of broken glyphs: then a lone letter may be the rest of a lost symbol."""
    return _BROKEN.search(passage) is not None


def refusal(sentence: str, symbols: int = 1) -> str:
    """Why a cleaned sentence cannot be said aloud, in a word or two; empty if it can.

    symbols: how many lone letters (an array A, a margin C) are allowed; with 0 or 1, only capitals.
    """
    words = sentence.split()
    if len(words) < MIN_WORDS:
        return "too short"
    if not re.match(r"[\"“‘]?(?:[A-Z]|[a-zα-ωθ]-[a-z])", sentence):
        return "fragment"
    if not re.search(r"[.!][\"”’)]?$", sentence) or sentence.endswith(".."):
        return "no end"
    for name, pattern in (
        ("dangling start", _DANGLING),
        ("leans on its place", _LEANS),
        ("carries over", _CARRIES_OVER),
        ("numbered reference", _NUMBERED),
        ("code", _CODE),
        ("formula", _MATHS),
        ("broken hyphen", _HYPHEN_BREAK),
        ("heading", _HEADING_GLUE),
    ):
        if pattern.search(aloud(sentence) if pattern is _MATHS else sentence):
            return name
    if _GERUND.match(sentence) and not any(word.lower() in VERBS | _BE for word in words[1:]):
        return "heading"
    if any(sentence.count(a) != sentence.count(b) for a, b in ("()", "[]", "“”")) or sentence.count('"') % 2:
        return "unbalanced"
    return _by_tokens(_BIG_O.sub("time", sentence).split(), symbols)


def _by_tokens(words: list[str], allowed: int) -> str:
    bare = [word.strip(".,;:!?()[]\"'“”‘’") for word in words]
    symbols = [word for word in bare if _is_symbol(word)]
    if len(symbols) > allowed or (symbols and len(words) < 10):
        return "formula"
    if allowed < 2 and any(re.fullmatch(r"[a-z]", word) for word in symbols):
        return "formula"
    if sum(any(c.isdigit() for c in word) for word in bare) > 2:
        return "numbers"
    capitals = [word[:1].isupper() for word in bare if word[:1].isalpha()]
    if sum(capitals) > max(3, 0.4 * len(capitals)):
        return "heading"
    return ""


def _is_symbol(word: str) -> bool:
    """Whether a token is a piece of mathematics rather than a word."""
    if not word or word in {"a", "A", "I"}:
        return False
    if not any(c.isalnum() for c in word):
        return word not in {"&", "-", "–", "—", "%"}
    core = re.sub(r"(?:'s|’s)$", "", word)
    if re.fullmatch(r"\d+(?:[.,]\d+)*%?|\d+(?:st|nd|rd|th)|\d[dD]|[A-Z]{1,3}\d|[A-Z][A-Z0-9&/-]+s?", core):
        return False
    if len(core) == 1 or re.fullmatch(r"[A-Z][ij]{2}", core):
        return True
    if len(core) == 2 and core.isalpha():
        return core.lower() not in TWO_LETTERS
    if re.search(r"[A-Za-z]\d|\d[A-Za-z]", core) or re.search(r"[a-z][A-Z]", core.replace("-", " ")):
        return not re.fullmatch(r"[A-Za-z]+-?\d{0,2}|[A-Z][a-z]+[A-Z]{0,2}[a-z]*", core)
    return core.isalpha() and core.isascii() and not re.search(r"[aeiouyAEIOUY]", core) and not core.isupper()


def trim(sentence: str, max_words: int = MAX_WORDS, symbols: int = 1) -> str:
    """A cleaned sentence of at most `max_words`, cut at clause borders only; empty if that cannot be done.

    Nothing is cut off that holds a negation, a condition or a contrast, since the rest would say more
    than the book does.
    """
    text = clean(sentence)
    if refusal(text, symbols):
        return ""
    if len(text.split()) <= max_words:
        return text
    without = re.sub(r"\s*\([^()]*\)", "", text)
    if len(without.split()) <= max_words and not refusal(without, symbols):
        return without
    borders = list(_BORDER.finditer(text))
    for border in reversed(borders):
        head, tail = text[: border.start()].rstrip(" ,;:"), text[border.end() :]
        if len(head.split()) > max_words or _CONTRAST.search(tail) or head.count("(") != head.count(")"):
            continue
        if len(head.split()) < 8 or (_SUBORDINATE.match(head) and "," not in head):
            continue
        if not refusal(head + ".", symbols):
            return head + "."
    return ""


def sentences_of(passage: str) -> list[str]:
    """The sentences of a passage, whole, in order; a bullet starts a sentence too."""
    return [one for piece in _BULLET.split(passage) for one in split(piece.strip())]


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """A light lemma: lower case, without possessive, plural and the commonest endings."""
    word = re.sub(r"(?:'s|’s|')$", "", word.lower())
    for ending, least, put in (("ies", 5, "y"), ("sses", 6, "ss"), ("xes", 5, "x"), ("ing", 7, ""), ("ed", 6, "")):
        if word.endswith(ending) and len(word) >= least:
            return _undoubled(word[: -len(ending)] + put)
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 4 else word


def _undoubled(word: str) -> str:
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 4 else word


def content_stems(text: str) -> list[str]:
    """Stems of the content words, in order of first use: no function words, nothing under three letters."""
    words = re.findall(r"[A-Za-zÀ-ɏα-ω][A-Za-zÀ-ɏα-ω'’-]*[A-Za-zÀ-ɏα-ω]", text)
    parts = [part for word in words for part in word.split("-")]
    return list(dict.fromkeys(stem(part) for part in parts if len(part) > 2 and part.lower() not in FUNCTION_WORDS))


def term(sentence: str, passage: str, topic: set[str], taken: set[str], *, least: int = 2) -> str:
    """A noun phrase of two to four words that the sentence shares with the rest of its passage: a term, not a run of words.
    With `least` 1 it need stand nowhere else.

    topic: stems of the topic's own name, which alone would label every step; taken: labels already on the screen,
    in lower case. Empty where the sentence holds no such phrase.
    """
    around = f" {' '.join(re.findall(r'[a-z]+', passage.lower()))} "
    best, best_score = "", 0.0
    for start, phrase in _noun_phrases(sentence):
        words = phrase.split()
        flat = f" {' '.join(re.findall(r'[a-z]+', phrase.lower()))}"
        stems = {stem(word) for word in words}
        if not 2 <= len(words) <= 4 or len(phrase) > 36 or phrase.lower() in taken or stems <= topic:
            continue
        if any(word.lower() in WEAK or not word.isascii() for word in words) or around.count(flat) < least:
            continue
        score = around.count(flat) + 0.5 * len(words) - 0.05 * start
        if score > best_score:
            best, best_score = phrase, score
    return best[:1].upper() + best[1:]


def run_in(quote: str, passage: str, topic: set[str], taken: set[str]) -> str:
    """The term that the book sets before a sentence: "Margin" in "Margin – The margin is …"; else empty."""
    match = re.search(r"(?:^|[\n.!?…\]] ?)(?:\S )?([A-Z][^\n.–—]{2,34}) [–—] $", passage[: max(passage.find(quote), 0)])
    return _as_label(match[1] if match else "", topic, taken)


def section_label(section: str, topic: set[str]) -> str:
    """The innermost heading as a label, without its number; empty where it names the topic alone or is too long."""
    title = re.sub(r"^(?:[A-Z]|\d+)?(?:\.\d+)*\.?\s+", "", section.rsplit(" > ", 1)[-1])
    return _as_label(re.sub(r"\s*\([^()]*\)|\s*\*$", "", title).strip(), topic, set())


def _as_label(text: str, topic: set[str], taken: set[str]) -> str:
    stems = {stem(word) for word in re.findall(r"[\w-]+", text) if word.lower() not in FUNCTION_WORDS}
    if not 3 <= len(text) <= 36 or text.lower() in taken or stems <= topic or _MATHS.search(text) or ":" in text:
        return ""
    return text


def _noun_phrases(sentence: str) -> list[tuple[int, str]]:
    """Runs of content words, joined by one "of" or "for", with the place where each starts."""
    tokens = re.findall(r"[\w'’*-]+|[^\w\s]", sentence)
    runs: list[tuple[int, list[str]]] = []
    current: list[str] = []
    begin = 0
    for n, token in enumerate([*tokens, "."]):
        low = token.lower()
        if (
            re.match(r"\w\w", token)
            and not low.isdigit()
            and low not in FUNCTION_WORDS
            and low not in VERBS
            and not low.endswith("ly")
        ):
            if not current and re.search(r"[a-z]{2}ed$", low):
                continue
            begin = begin if current else n
            current.append(token)
        elif current:
            runs.append((begin, current))
            current = []
    phrases = [(start, " ".join(run)) for start, run in runs]
    for (start, left), (after, right) in pairwise(runs):
        between = tokens[start + len(left) : after]
        if (
            between
            and between[0].lower() in ADJUNCT
            and len(between) <= 2
            and all(word.lower() in {*ADJUNCT, "the", "a", "an"} for word in between)
        ):
            phrases.append((start, " ".join([*left, *between, *right])))
    return phrases

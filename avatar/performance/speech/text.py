"""Written English to spoken words: numbers, money, abbreviations, punctuation."""

from __future__ import annotations

import re
import unicodedata

from avatar.errors import HeadsplatError

#: Longest text, characters: more than four hours of fast speech.
MAX_CHARACTERS = 500_000
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = (
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
)  # fmt: skip
_SCALES = (
    "thousand", "million", "billion", "trillion",
)  # fmt: skip
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_ABBREVIATIONS = {
    "mr.": "mister", "mrs.": "missus", "ms.": "miss", "dr.": "doctor", "prof.": "professor", "st.": "saint",
    "jr.": "junior", "sr.": "senior", "vs.": "versus", "etc.": "et cetera", "e.g.": "for example", "i.e.": "that is",
    "no.": "number", "approx.": "approximately", "dept.": "department", "min.": "minutes", "km": "kilometers",
    "kg": "kilograms", "cm": "centimeters", "mm": "millimeters",
}  # fmt: skip
_SIGNS = {"&": "and", "@": "at", "%": "percent", "+": "plus", "=": "equals", "#": "number", "°": "degrees"}
_MONEY = {"$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent")}
_NUMBER = re.compile(
    r"(?P<money>[$£€])?(?P<sign>-)?(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<part>\d+))?(?P<end>st|nd|rd|th|s|%)?"
)
_CLOCK = re.compile(r"(?P<hour>\d{1,2}):(?P<minute>\d{2})$")
_QUOTES = str.maketrans("’‘`´“”„–—‐‑…", "''''\"\"\"----.")
#: More digits than have a name are said one by one.
_MAX_DIGITS = 15


def spoken_words(text: str) -> list[str]:
    """The words of a text as they are said, in small letters and apostrophes.

    Raises:
        HeadsplatError: the text has no word, or is longer than MAX_CHARACTERS.
    """
    if len(text) > MAX_CHARACTERS:
        raise HeadsplatError(
            f"the text has {len(text)} characters, more than the {MAX_CHARACTERS} that are read; cut text and sound"
        )
    plain = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    words = [word for token in plain.split() for word in _of_token(token)]
    if not words:
        raise HeadsplatError(
            f"the text {text.strip()[:40]!r} has no word that can be said; give the words of the sound"
        )
    return words


def _of_token(token: str) -> list[str]:
    token = token.strip('"()[]{}<>*_~|,;:!?')
    lowered = token.lower()
    if lowered in _ABBREVIATIONS:
        return _ABBREVIATIONS[lowered].split()
    if re.fullmatch(r"(?:[A-Za-z]\.){2,}", token):  # U.S.A.
        return [letter for letter in lowered if letter != "."]
    token = token.strip(".'\"")
    if clock := _CLOCK.match(token):
        minute = int(clock["minute"])
        said = ["o'clock"] if not minute else (["oh"] if minute < 10 else []) + number_words(minute)
        return number_words(int(clock["hour"])) + said
    words: list[str] = []
    at = 0
    for found in _NUMBER.finditer(token):
        words += _letters(token[at : found.start()]) + _of_number(found)
        at = found.end()
    return words + _letters(token[at:])


def _letters(part: str) -> list[str]:
    """Words of a part without numbers: accents are dropped, signs are named, all else separates words."""
    for sign, name in _SIGNS.items():
        part = part.replace(sign, f" {name} ")
    bare = "".join(c for c in unicodedata.normalize("NFKD", part) if not unicodedata.combining(c)).lower()
    for letter, written in (
        ("ß", "ss"),
        ("æ", "ae"),
        ("œ", "oe"),
        ("ø", "o"),
        ("ł", "l"),
        ("đ", "d"),
        ("þ", "th"),
        ("ð", "th"),
    ):
        bare = bare.replace(letter, written)
    words = (word.strip("'") for word in re.findall(r"[a-z']+", bare))
    return [word for word in words if word]


def _of_number(found: re.Match[str]) -> list[str]:
    whole = found["whole"].replace(",", "")
    part = found["part"]
    end = found["end"]
    words = ["minus"] if found["sign"] else []
    if len(whole) > _MAX_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        words += [_ONES[int(digit)] for digit in whole]
    elif "," not in found["whole"] and not part and not found["money"] and end in (None, "s") and _is_year(whole):
        words += _year_words(int(whole))
    else:
        words += number_words(int(whole))
    if found["money"]:
        unit, small = _MONEY[found["money"]]
        words.append(unit if whole == "1" else unit + "s")
        if part and int(part[:2].ljust(2, "0")):
            cents = int(part[:2].ljust(2, "0"))
            words += ["and", *number_words(cents), small if cents == 1 else {"penny": "pence"}.get(small, small + "s")]
    elif part:
        words += ["point", *(_ONES[int(digit)] for digit in part)]
    if end in ("st", "nd", "rd", "th"):
        words[-1] = _ordinal(words[-1])
    elif end == "s":
        words[-1] = words[-1][:-1] + "ies" if words[-1].endswith("y") else words[-1] + "s"
    return [*words, "percent"] if end == "%" else words


def _is_year(digits: str) -> bool:
    return len(digits) == 4 and (1100 <= int(digits) <= 1999 or 2010 <= int(digits) <= 2099)


def _year_words(year: int) -> list[str]:
    century, rest = divmod(year, 100)
    if not rest:
        return [*number_words(century), "hundred"]
    return [*number_words(century), *(["oh"] if rest < 10 else []), *number_words(rest)]


def number_words(number: int) -> list[str]:
    """The words of a whole number of at most 15 digits."""
    if number < 20:
        return [_ONES[number]]
    if number < 100:
        return [_TENS[number // 10 - 2], *([_ONES[number % 10]] if number % 10 else [])]
    if number < 1000:
        return [_ONES[number // 100], "hundred", *(number_words(number % 100) if number % 100 else [])]
    for power in range(len(_SCALES), 0, -1):
        high, low = divmod(number, 1000**power)
        if high:
            return [*number_words(high), _SCALES[power - 1], *(number_words(low) if low else [])]
    raise AssertionError(number)


def _ordinal(word: str) -> str:
    if word in _ORDINALS:
        return _ORDINALS[word]
    return word[:-1] + "ieth" if word.endswith("y") else word + "th"

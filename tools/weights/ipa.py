"""IPA names of phonemes, as eSpeak NG writes them, to the nearest phones of ARPABET."""

from __future__ import annotations

from avatar.performance.speech.phones import SILENCE

#: Sounds that English lacks get the phone with the most similar mouth: front rounded vowels UW, uvular sounds HH or K.
_TABLE = {
    "AA": "ɑ a ɒ ä",
    "AE": "æ",
    "AH": "ʌ ə ɐ ɤ",
    "AO": "ɔ ɔː ɒː",
    "AW": "aʊ au aw ɑʊ",
    "AY": "aɪ ai ɑɪ aj aɨ",
    "EH": "ɛ ε",
    "ER": "ɜ ɚ ɝ œ ɵ",
    "EY": "e eɪ ei ɛɪ",
    "IH": "ɪ ᵻ ɨ ɯ",
    "IY": "i",
    "OW": "o oʊ əʊ ou ʌʊ",
    "OY": "ɔɪ oɪ oi ɔø ɔɨ",
    "UH": "ʊ ʏ",
    "UW": "u y ʉ ø",
    "B": "b ɓ",
    "CH": "tʃ tɕ tʂ",
    "D": "d ɾ ɖ r̝",
    "DH": "ð",
    "F": "f ɸ",
    "G": "ɡ g ɣ",
    "HH": "h ɦ x χ ħ",
    "JH": "dʒ dʑ dʐ ɟ",
    "K": "k q c",
    "L": "l ɫ ɬ ʎ ɭ",
    "M": "m ɱ",
    "N": "n ɲ ɳ",
    "NG": "ŋ",
    "P": "p",
    "R": "r ɹ ʁ ʀ ɻ",
    "S": "s ts t͡s ss",
    "SH": "ʃ ɕ ʂ ç",
    "T": "t ʈ",
    "TH": "θ",
    "V": "v ʋ β",
    "W": "w ʍ ɥ",
    "Y": "j ʝ",
    "Z": "z dz",
    "ZH": "ʒ ʐ ʑ",
}
_PHONE_OF = {ipa: phone for phone, names in _TABLE.items() for ipa in names.split()}
_LONGEST = max(map(len, _PHONE_OF))
#: Names of phonemes in which `a` is the vowel of TRAP.
_BRITISH_TRAP = "a"


def arpabet(ipa: str, *, english: bool = False) -> list[str]:
    """Phones of one IPA name, left to right by the longest known part; what is no sound (stress, length) is left out.

    A name without any known sound, a pause or a glottal stop, is SILENCE.
    """
    phones: list[str] = []
    at = 0
    while at < len(ipa):
        for length in range(_LONGEST, 0, -1):
            name = ipa[at : at + length]
            if len(name) == length and name in _PHONE_OF:
                phones.append(_PHONE_OF[name])
                at += length
                break
        else:
            at += 1
    if english and phones == ["AA"] and ipa.strip("ˈˌ") == _BRITISH_TRAP:
        return ["AE"]
    return phones or [SILENCE]

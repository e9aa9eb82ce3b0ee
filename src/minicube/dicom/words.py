"""What people call series: English, German, French, Spanish, Portuguese, Italian, Dutch,
Swedish, Polish, Czech, Russian, Chinese, Japanese, Korean, and the scanners' own names.

Patterns are searched for in lower-case text in which ``_`` and ``-`` have become spaces.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["FLAIR", "T1", "T2", "UNWANTED", "says_contrast"]


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


T1: Final = _any(
    r"\bt1",
    r"mp ?rage",
    r"\bf?spgr",
    r"bravo",
    r"\bvibe\b",
    r"\b3d ?t?tfe",
    r"\bir ?fspgr",
    r"\bt ?1 ?w",
)
T2: Final = _any(r"\bt2(?! ?\*)(?!star)", r"\bt ?2 ?w", r"[ 0-9x]t2(?! ?\*)")
FLAIR: Final = _any(
    r"flair", r"dark ?fluid", r"\bda ?fl\b", r"fluid ?att", r"\btirm\b(?=.*(?:dark|t2))"
)

# The name of a whole examination; it says nothing of a series.
_BOTH: Final = _any(r"\bw(?:ith)?/? ?(?:and|&|\+|/)? ?w/?(?:ith)?o(?:ut)?\b(?: \w+)?")
_NOT: Final = (
    r"\b(?:without|w/o|wo|no|non|sans|sin|sem|senza|ohne|zonder|utan|bez|без)\b ?"
    r"(?:\w+ ){0,2}?"
    r"(?:contrast\w*|contraste|contrasto|kontra[sś]\w*|gd|gad\w*|km|mdc|mdk|inj\w*|iv|ку|контраст\w*)"
)
_BEFORE: Final = _any(
    _NOT,
    r"\b(?:vor|avant|antes|prima|voor|före|przed|před|до) (?:\w+ )?"
    r"(?:km|gd|gad\w*|kontra[sś]\w*|contrast\w*|inj\w*|mdc|контраст\w*|ку)\b",
    r"\bpre\b",
    r"\bpre ?(?:contrast|gd|gad|km|kontrast)",
    r"\bnativ\w*\b",
    r"\bnative\b",
    r"\bplain\b",
    r"\bunenhanced\b",
    r"\bbasale\b",
    r"\bblanco\b",
    r"平扫|単純|조영전",
    r"натив",
)
_AFTER: Final = _any(
    r"\bpost\b",
    r"\bpost ?(?:contrast|gd|gad|km|kontrast|inj)",
    r"\+ ?(?:c|gd|gad|km|gado|k)\b",
    r"\b(?:c|gd|gad|km|k) ?\+",
    r"\+ ?(?:contrast|kontrast)",
    r"\bce\b",
    r"\bcet1",
    r"t1 ?ce\b",
    r"t1w?c\b",
    r"\bgd\b",
    r"\bgad(?:o\w*)?\b",
    r"t1 ?w? ?gd",
    r"\bkm\b",
    r"\bmdc\b",
    r"\bmdk\b",
    r"\bciv\b",
    r"\bcontrast\b",
    r"\bcontraste\b",
    r"\bcontrasto\b",
    r"kontra[sś]\w*",
    r"контраст\w*",
    r"\bс ку\b|\bку\b",
    r"\binj(?:ect\w*|ection)?\b",
    r"\bdotarem\b|\bgadovist\b|\bgadavist\b|\bmagnevist\b|\bprohance\b|\bmultihance\b",
    r"\bomniscan\b|\bclariscan\b|\belucirem\b|\bvueway\b",
    r"\benhanced\b",
    r"增强|造影|조영",
)

UNWANTED: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        _any(
            r"\blocali[sz]er",
            r"\bloc\b",
            r"scout",
            r"survey",
            r"\b3 ?plane?\b",
            r"planung",
            r"\brep[eé]rage\b",
            r"localizador",
            r"定位",
            r"smartbrain",
            r"\baascout\b",
        ),
        "a localiser",
    ),
    (
        _any(
            r"\bdwi\b",
            r"diff(?:usion|usie|usione|uz\w*|usjon|usao|usión)?\b",
            r"\bdti\b",
            r"\bdki\b",
            r"trace ?w?\b",
            r"\bisodwi",
            r"\bb ?(?:0|500|800|900|1000|1500|2000|3000)\b",
            r"ep2d diff",
            r"resolve",
            r"дви\b",
            r"弥散|拡散",
        ),
        "diffusion",
    ),
    (_any(r"\be?adc\b", r"apparent diff", r"tensor", r"colfa"), "a map of diffusion"),
    (
        _any(
            r"\bswi\b",
            r"\bswan\b",
            r"venobold",
            r"\bswip?\b",
            r"\bqsm\b",
            r"t2 ?\*",
            r"t2 ?star",
            r"\bhemo\b",
            r"\bhäm",
            r"\bmedic\b",
            r"\bgre\b(?=.*(?:t2|hem))",
            r"\bt2 ?ffe\b",
        ),
        "susceptibility (T2*)",
    ),
    (
        _any(r"\btof\b", r"\bmra\b", r"\bmrv\b", r"angio", r"\bpca\b", r"\binflow\b", r"venogr"),
        "angiography",
    ),
    (
        _any(
            r"\bperf\b|perfu[sz]",
            r"\bpwi\b",
            r"\bdsc\b",
            r"\bdce\b",
            r"\basl\b",
            r"\bpcasl\b",
            r"\br?cb[fv]\b",
            r"\bmtt\b",
            r"\bttp\b",
            r"\btmax\b",
            r"dynamic",
            r"灌注",
        ),
        "perfusion",
    ),
    (_any(r"\bmin ?ip\b", r"\bmip\b", r"projection"), "a projection"),
    (_any(r"\bsub\b(?! ?\d)", r"subtra"), "a subtraction"),
    (_any(r"\bbold\b", r"\bfmri\b", r"resting", r"\brest\b"), "functional"),
    (_any(r"spectro", r"\bmrs\b", r"\bcsi\b", r"\bpress\b", r"\bsvs\b"), "spectroscopy"),
    (
        _any(r"field ?map", r"\bcalib\w*", r"\basset\b", r"\bb1 ?map", r"\bref(?:erence)? ?scan"),
        "for calibration",
    ),
    (_any(r"\bphase\b(?! ?enc)", r"\bpha\b"), "phase"),
    (_any(r"^(?!.*t2).*\bpd\b", r"proton dens"), "proton density"),
    (_any(r"\bstir\b"), "STIR"),
    (_any(r"\bciss\b", r"\bfiesta\b", r"\bbffe\b"), "a scan of fluid (CISS, FIESTA)"),
    (
        _any(
            r"\bc ?spine",
            r"spine\b",
            r"\bhws\b",
            r"\bbws\b",
            r"\blws\b",
            r"rachis",
            r"columna",
            r"wirbels",
            r"colonna",
        ),
        "of the spine",
    ),
)


def says_contrast(text: str) -> bool | None:
    """Whether a description says that a contrast agent had been given; None if nothing of it."""
    text = _BOTH.sub(" ", text)
    if _BEFORE.search(text):
        return False
    return True if _AFTER.search(text) else None

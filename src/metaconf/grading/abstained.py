"""Whether an answer declines to answer: graded as any other, and counted beside the grades."""

from __future__ import annotations

import re

from metaconf.grading.text import visible

_LONGEST = 120
_DECLINES = re.compile(
    r"(?:sorry[,.]? |honestly )?(?:"
    r"(?:i(?: am|['’]?m) )?(?:really )?(?:not sure|unsure|uncertain)"
    r"|(?:i )?(?:really )?(?:do not|don['’]?t) know(?: the answer| that| this| it)?"
    r"|(?:i have )?no (?:idea|answer)"
    r"|(?:i |it )?(?:can ?not|can['’]?t) (?:answer|say|tell|be (?:determined|known|answered))"
    r"(?: that| this| it| (?:this|the) question)?"
    r"|(?:it is |the answer is )?(?:unknown|not known|undetermined)(?: to me)?"
    r"|i (?:abstain|pass|decline(?: to answer)?)"
    r"|n ?/ ?a|idk)",
    re.I,
)
_ELSEWHERE = re.compile(
    r"(?:(?:yo )?no (?:lo )?sé|je (?:ne )?sais pas|ich wei(?:ß|ss) (?:es |das )?nicht|keine ahnung"
    r"|(?:я )?не знаю|(?:eu )?não sei|non (?:lo )?so|(?:ik )?weet (?:ik )?(?:het )?niet|nie wiem"
    r"|nevím|jag vet inte|jeg ved (?:det )?ikke|jeg vet ikke|en tiedä|nem tudom|nu știu|bilmiyorum"
    r"|δεν (?:το )?ξέρω|(?:tôi )?không biết|(?:saya )?tidak tahu|(?:我)?不(?:知道|清楚|确定|確定)"
    r"|[分わ]かりません|[分わ]からない|知りません|(?:잘 )?모르겠(?:습니다|어요|다)|모릅니다|몰라요"
    r"|(?:أنا )?لا (?:أعرف|أعلم|أدري)|(?:मुझे )?(?:नहीं पता|पता नहीं|नहीं मालूम)|אני לא יודע|לא יודע"
    r"|نمی‌?دانم|نمیدانم|ไม่ทราบ|ไม่รู้)",
    re.I,
)


def abstains(answer: str | None) -> bool:
    """Whether the whole of `answer` says that none is given: "I don't know", "Unknown", "N/A".

    No answer at all (None, blank) is no abstention: nothing was said. A longer text that hedges
    and then answers ("I am not sure, perhaps Mali") is none either.
    """
    if answer is None or len(answer) > _LONGEST:
        return False
    said = " ".join(visible(answer).split()).strip(" .!*\"'“”。！।")
    return bool(_DECLINES.fullmatch(said) or _ELSEWHERE.fullmatch(said))

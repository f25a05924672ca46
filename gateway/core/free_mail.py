"""
Mail domains that belong to providers, not to companies: they never place a ticket with a company.
"""

from __future__ import annotations

from typing import Final

FREE_MAIL: Final = frozenset(
    """
    gmail.com googlemail.com
    outlook.com outlook.de outlook.fr outlook.es outlook.it outlook.jp outlook.com.br outlook.com.au outlook.dk
    hotmail.com hotmail.co.uk hotmail.fr hotmail.de hotmail.it hotmail.es hotmail.se hotmail.no hotmail.nl hotmail.be
    hotmail.com.br
    live.com live.co.uk live.fr live.de live.it live.nl live.se live.no live.dk live.be live.ca live.com.au msn.com
    yahoo.com yahoo.co.uk yahoo.fr yahoo.de yahoo.it yahoo.es yahoo.se yahoo.ca yahoo.in yahoo.co.in yahoo.co.jp
    yahoo.com.au yahoo.com.br yahoo.com.mx yahoo.com.ar ymail.com rocketmail.com
    icloud.com me.com mac.com privaterelay.appleid.com
    aol.com aol.de aol.co.uk aim.com
    proton.me protonmail.com protonmail.ch pm.me
    gmx.com gmx.de gmx.net gmx.at gmx.ch gmx.fr gmx.co.uk web.de mail.com t-online.de freenet.de
    mail.ru bk.ru inbox.ru list.ru yandex.ru yandex.com ya.ru rambler.ru
    qq.com 163.com 126.com yeah.net sina.com sina.cn sohu.com foxmail.com
    naver.com hanmail.net daum.net rediffmail.com
    orange.fr wanadoo.fr free.fr sfr.fr laposte.net
    libero.it virgilio.it tiscali.it alice.it
    wp.pl o2.pl onet.pl interia.pl seznam.cz centrum.cz ukr.net
    bluewin.ch telia.com inbox.lv abv.bg
    btinternet.com sky.com comcast.net verizon.net att.net sbcglobal.net cox.net rogers.com bigpond.com
    uol.com.br bol.com.br terra.com.br
    zoho.com fastmail.com fastmail.fm hey.com hushmail.com mailbox.org posteo.de
    tutanota.com tutanota.de tuta.com tuta.io
    """.split()  # noqa: SIM905 - read by people, line by provider
)


def mail_domain(address: str) -> str | None:
    """Give the domain of a mail address, lower case; None when there is none."""
    _, at, domain = address.strip().lower().rstrip(".").rpartition("@")
    return domain if at and domain else None


def company_domains(address: str, free_mail: frozenset[str] = FREE_MAIL) -> tuple[str, ...]:
    """Give the mail domain as a company's domain, nothing for a free-mail provider."""
    domain = mail_domain(address)
    return (domain,) if domain and domain not in free_mail else ()

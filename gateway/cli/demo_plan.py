"""
What the demonstration sends: stories of a few tickets as their helpdesks tell them, drawn from a seed.

A pure function of the seed and the time. It also says what must come of it, from the stories alone: the demonstration
fails when the gateway comes to anything else.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

Expected = Literal["accepted", "duplicate", "refused"]

DUPLICATE_SHARE: Final = 0.2
ACCOUNT: Final = 31415926

PEOPLE: Final = (
    ("Giulia Ferrante", "kestrel-freight.example", "Kestrel Freight", "kf-204"),
    ("Lionel Adair", "tallowmill.example", "Tallow Mill", "tm-17"),
    ("Nadia Ferro", "quillharbor.example", "Quill Harbor", "qh-3"),
    ("Anneke Boomsma", "heronquay.example", "Heron Quay", "hq-88"),
    ("Eskil Romano", "brightwater.example", "Brightwater", "bw-1"),
)
AGENTS: Final = ("Yusuf Anand", "Petra Vandewalle")
SUBJECTS: Final = (
    "Export of invoices stops at page two",
    "Two-factor prompt on every page",
    "Scanner shows no link",
    "SSO login loops back to the start page",
    "Cannot download the signed contract",
    "Webhook to our ERP arrives twice",
    "Report is empty since Monday",
    "Dock leveller stuck at gate 4",
    "Invoice 88 came twice",
    "Map does not load on tablets",
)
STEPS: Final = (
    ("ticket.status_changed", "OPEN"),
    ("ticket.comment_added", ""),
    ("ticket.priority_changed", ""),
    ("ticket.status_changed", "PENDING"),
    ("ticket.comment_added", ""),
    ("ticket.status_changed", "OPEN"),
    ("ticket.status_changed", "SOLVED"),
)
"""How a ticket's life goes on after its creation; a story takes the first few."""


@dataclass(frozen=True, slots=True)
class Post:
    """
    One request to be made.

    event: the sender's word for what happened. status: the status shown in it, lower case.
    stamp_ms: the sender's own time of it; 0 when it gives none.
    """

    connection: str
    ticket: str
    event: str
    status: str
    stamp_ms: int
    delivery_id: str
    body: bytes
    expected: Expected = "accepted"


@dataclass(frozen=True, slots=True)
class Story:
    """
    A ticket's posts in the order in which they happened, and what must come of them.

    history: statuses that Planhat must show at last, oldest first; empty where the sender gives no times.
    dead: the reason for which it must end as a dead letter; "" when it must be in Planhat.
    """

    ticket: str
    posts: tuple[Post, ...]
    email: str
    dead: str = ""

    @property
    def status(self) -> str:
        """The status at last."""
        return self.posts[-1].status

    @property
    def history(self) -> tuple[str, ...]:
        """The statuses that it went through."""
        seen: list[str] = []
        for post in self.posts:
            if post.status and (not seen or seen[-1] != post.status):
                seen.append(post.status)
        return tuple(seen)


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Everything that is posted, in the order of posting.

    told: sourceId of the ticket whose journey is shown.
    users, organizations: the helpdesk's records by id, for its API double.
    """

    stories: tuple[Story, ...]
    posts: tuple[Post, ...]
    told: str
    users: dict[str, dict[str, Any]]
    organizations: dict[str, dict[str, Any]]


def plan(seed: int, now_s: float) -> Plan:
    """
    Draw what to send.

    Args:
        seed: the same seed gives the same stories.
        now_s: Unix time; the stories end shortly before it.
    """
    draw = random.Random(seed)  # noqa: S311  a demonstration that repeats, nothing secret
    desk = _Desk(draw, int(now_s))
    stories = [desk.zendesk(steps) for steps in (7, *(draw.randint(2, 5) for _ in range(draw.randint(5, 6))))]
    told = stories[0].ticket
    stories += [desk.freshdesk(), desk.generic(), desk.without_email()]
    return Plan(
        tuple(stories), _posted(draw, stories, told, desk.forged(stories[0])), told, desk.users, desk.organizations
    )


def _posted(draw: random.Random, stories: Sequence[Story], told: str, forged: Post) -> tuple[Post, ...]:
    """Mix the stories, swap some neighbours of a story, repeat a fifth, put the forged one among them."""
    queues = {story.ticket: _disordered(draw, story, told) for story in stories}
    mixed: list[Post] = []
    while any(queues.values()):
        ticket = draw.choice([name for name, queue in queues.items() for _ in queue])
        mixed.append(queues[ticket].pop(0))
    repeatable = [post for post in mixed if post.connection == "zendesk"]
    own = [post for post in repeatable if post.ticket == told]
    count = max(1, round(len(mixed) * DUPLICATE_SHARE / (1 - DUPLICATE_SHARE)))
    again = [draw.choice(own)]
    again += draw.sample([post for post in repeatable if post not in again], min(count, len(repeatable)) - 1)
    for post in again:
        first = mixed.index(post)
        mixed.insert(draw.randint(first + 1, min(len(mixed), first + 6)), replace(post, expected="duplicate"))
    mixed.insert(draw.randint(1, len(mixed)), forged)
    return tuple(mixed)


def _disordered(draw: random.Random, story: Story, told: str) -> list[Post]:
    """Swap neighbours where the sender's stamps can put them right again; always in the told story."""
    posts = list(story.posts)
    if not all(post.stamp_ms for post in posts):
        return posts
    places = [len(posts) - 2] if story.ticket == told else []
    places += [place for place in range(1, len(posts) - 3) if draw.random() < 0.25]
    for place in places:
        posts[place], posts[place + 1] = posts[place + 1], posts[place]
    return posts


class _Desk:
    """Makes the stories; remembers the people it names."""

    def __init__(self, draw: random.Random, now_s: int) -> None:
        self._draw = draw
        self._now_s = now_s
        self._number = draw.randint(1_000, 80_000)
        self.users: dict[str, dict[str, Any]] = {}
        self.organizations: dict[str, dict[str, Any]] = {}

    def _next(self) -> int:
        self._number += self._draw.randint(1, 40)
        return self._number

    def _person(self) -> tuple[str, str, str, str]:
        name, domain, company, external_id = self._draw.choice(PEOPLE)
        return name, f"{name.lower().replace(' ', '.')}@{domain}", company, external_id

    def zendesk(self, steps: int) -> Story:
        """Tell a ticket's life as Zendesk's events: whole snapshots, no e-mail, ids that must be looked up."""
        number = self._next()
        name, email, company, external_id = self._person()
        requester, organization, agent = (str(7_000_000_000 + self._next()) for _ in range(3))
        helper = self._draw.choice(AGENTS)
        self.users[requester] = {"id": int(requester), "name": name, "email": email}
        self.users[agent] = {"id": int(agent), "name": helper, "email": f"{helper.split()[0].lower()}@support.example"}
        self.organizations[organization] = {
            "id": int(organization),
            "name": company,
            "domain_names": [email.partition("@")[2]],
            "external_id": external_id,
        }
        at_s = self._now_s - 3600 * self._draw.randint(5, 40)
        detail: dict[str, Any] = {
            "actor_id": requester,
            "assignee_id": None,
            "brand_id": "77",
            "created_at": _iso(at_s),
            "custom_status": None,
            "description": "It began this morning; nobody here can work.",
            "external_id": None,
            "form_id": "12",
            "group_id": "34",
            "id": str(number),
            "is_public": True,
            "organization_id": organization,
            "priority": "NORMAL",
            "requester_id": requester,
            "status": "NEW",
            "subject": self._draw.choice(SUBJECTS),
            "submitter_id": requester,
            "tags": ["demo"],
            "type": "PROBLEM",
            "updated_at": _iso(at_s),
            "via": {"channel": "web_form"},
        }
        posts = [self._event(number, "ticket.created", detail, at_s, {})]
        for event, status in STEPS[:steps]:
            at_s += self._draw.randint(60, 1800)
            before = detail["status"]
            detail = detail | {"assignee_id": agent, "updated_at": _iso(at_s)}
            said: dict[str, Any] = {}
            if status:
                detail |= {"status": status}
                said = {"current": status, "previous": before}
            elif event == "ticket.priority_changed":
                said = {"current": "HIGH", "previous": detail["priority"]}
                detail |= {"priority": "HIGH"}
            else:
                comment = {"id": str(self._next()), "body": "Any news?", "is_public": True, "author": {"id": requester}}
                said = {"comment": comment}
            posts.append(self._event(number, event, detail, at_s, said))
        return Story(f"zendesk:{number}", tuple(posts), email)

    def _event(self, number: int, event: str, detail: dict[str, Any], at_s: int, said: dict[str, Any]) -> Post:
        ident = f"{self._draw.getrandbits(128):032x}"
        ident = "-".join((ident[:8], ident[8:12], ident[12:16], ident[16:20], ident[20:]))
        body = {
            "account_id": ACCOUNT,
            "id": ident,
            "type": f"zen:event-type:{event}",
            "subject": f"zen:ticket:{number}",
            "time": _iso(at_s)[:-1] + f".{self._draw.randint(0, 999_999_999):09d}Z",
            "zendesk_event_version": "2022-11-06",
            "detail": detail,
            "event": said,
        }
        return Post(
            "zendesk", f"zendesk:{number}", event, detail["status"].lower(), at_s * 1000, ident, orjson.dumps(body)
        )

    def freshdesk(self) -> Story:
        """Tell a ticket's life as Freshdesk's rules: no times, no ids, HTML."""
        number = self._next()
        name, email, _, _ = self._person()
        subject = self._draw.choice(SUBJECTS)
        posts: list[Post] = []
        for status, did in (("Open", "{ticket_action:created}"), ("Pending", "{status:{from:2,to:3}}")):
            hook = {
                "ticket_id": number,
                "triggered_event": did,
                "ticket_subject": subject,
                "ticket_description": "<div>Please <b>help</b>.</div>",
                "ticket_url": f"https://demo.freshdesk.example/helpdesk/tickets/{number}",
                "ticket_status": status,
                "ticket_priority": "Medium",
                "ticket_contact_name": name,
                "ticket_contact_email": email,
            }
            body = orjson.dumps({"freshdesk_webhook": hook})
            posts.append(Post("freshdesk", f"freshdesk:{number}", did, status.lower(), 0, "", body))
        return Story(f"freshdesk:{number}", tuple(posts), email)

    def generic(self) -> Story:
        """Tell a ticket of one's own system, created and closed."""
        _, email, _, _ = self._person()
        return self._own("ERP", email, ("open", "waiting", "closed"))

    def without_email(self) -> Story:
        """Tell a ticket that Planhat would drop without a word."""
        return replace(self._own("KIOSK", "", ("open",)), dead="missing_email")

    def _own(self, prefix: str, email: str, statuses: Sequence[str]) -> Story:
        ident = f"{prefix}-{self._next()}"
        at_s = self._now_s - 3600 * self._draw.randint(2, 9)
        title = self._draw.choice(SUBJECTS)
        posts: list[Post] = []
        for status in statuses:
            kind = "ticket.updated" if posts else "ticket.created"
            data: dict[str, Any] = {"sourceId": ident, "title": title, "status": status, "updatedAt": _iso(at_s)}
            if email:
                data |= {"email": email, "domains": [email.partition("@")[2]]}
            body = orjson.dumps({"type": kind, "timestamp": _iso(at_s), "data": data})
            message = f"msg_{self._draw.getrandbits(96):024x}"
            posts.append(Post("generic", f"generic:{ident}", kind, status, at_s * 1000, message, body))
            at_s += self._draw.randint(60, 1800)
        return Story(f"generic:{ident}", tuple(posts), email)

    def forged(self, story: Story) -> Post:
        """Say of a ticket that it is closed, as somebody who does not have the secret."""
        last = orjson.loads(story.posts[-1].body)
        at_s = self._now_s - 60
        detail = last["detail"] | {"status": "CLOSED", "subject": "forged", "updated_at": _iso(at_s)}
        post = self._event(
            int(detail["id"]), "ticket.status_changed", detail, at_s, {"current": "CLOSED", "previous": "OPEN"}
        )
        return replace(post, expected="refused")


def _iso(at_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))

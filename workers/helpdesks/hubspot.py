"""
Look-ups at HubSpot: tickets, contacts and companies in batches, labels of stages and owners from lists.

An event says only that a ticket changed, so a ticket is always read here: its properties, the history of its stage, and
which contact and company belong to it. `users` takes ids of contacts, and of owners behind `owner:`, for both are
numbers of their own.

Source: developers.hubspot.com api-reference crm/v3 objects (batch/read), crm/v4 associations (batch/read), pipelines,
owners, account-info (documented; batch sizes with history: an older page, so the smaller is used); facts of HubSpot §5.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.core.lookups import Company, Person
from gateway.sources.reading import instant_ms, mail_address, mapping, plain_text, text, word
from workers.helpdesks.base import (
    Api,
    Bearer,
    HelpdeskError,
    HelpdeskRefused,
    HelpdeskUnavailable,
    askable,
    chunks,
    record_id,
    rows_of,
)
from workers.helpdesks.memory import Memory
from workers.helpdesks.records import by_group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx

    from gateway.core.change import Json
    from workers.access import HelpdeskAccess

BATCH_MAX: Final = 100
HISTORY_BATCH_MAX: Final = 50
HISTORY_MAX: Final = 20
"""HubSpot keeps so many values of a property; a list that is full may have begun earlier."""

OWNERS_MAX: Final = 10_000
BUSY_S: Final = 10.0
"""Limits are counted over ten seconds."""

OWNER: Final = "owner:"
STAGE: Final = "hs_pipeline_stage"
TICKET: Final = (
    "subject",
    "content",
    "hs_pipeline",
    STAGE,
    "hs_ticket_priority",
    "hubspot_owner_id",
    "createdate",
    "hs_lastmodifieddate",
)
CONTACT: Final = ("email", "firstname", "lastname")
COMPANY: Final = ("name", "domain", "hs_additional_domains")
SCOPES: Final[Mapping[str, str]] = {
    "crm/v3/objects/tickets": "tickets",
    "crm/v3/objects/contacts": "crm.objects.contacts.read",
    "crm/v3/objects/companies": "crm.objects.companies.read",
    "crm/v3/owners": "crm.objects.owners.read",
}
"""What is read -> the scope that it takes."""


class HubSpotClient:
    """
    Look-ups of one HubSpot connection.

    Args:
        access: address and credentials; `secret` is the access token of a private app.
        transport: instead of the network, in tests.
        monotonic: seconds of a clock that never steps.
        clock: Unix time, seconds.
    """

    at_once = HISTORY_BATCH_MAX

    def __init__(
        self,
        access: HelpdeskAccess,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        self._clock = clock
        self._api = Api(access.base_url, auth=Bearer(access.secret), busy_s=BUSY_S, transport=transport)
        self._memory = Memory(monotonic)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
        """Look up contacts and owners; a contact may have no address."""
        found: dict[str, Person | None] = dict.fromkeys(ids)
        contacts = askable([one for one in ids if not one.startswith(OWNER)])
        owners = [one for one in found if one.startswith(OWNER)]
        done: dict[str, Person | None] = {}
        try:
            for group in chunks(contacts, BATCH_MAX):
                rows = await self._batch("contacts", group, CONTACT)
                done.update({one: person(rows[one]) if one in rows else None for one in group})
            if owners:
                people = await self._owners()
                done.update({one: owner(people.get(one.removeprefix(OWNER))) for one in owners})
        except HelpdeskError as error:
            error.found = done
            raise
        return found | done

    async def organizations(self, ids: Sequence[str]) -> dict[str, Company | None]:
        """Look up companies; HubSpot has no external id of one."""
        return await by_group(ids, askable(ids), BATCH_MAX, self._companies)

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        """Read tickets anew; one in the recycling bin becomes the change that says so."""
        return await by_group(ids, askable(ids), HISTORY_BATCH_MAX, self._tickets)

    async def probe(self) -> str | None:
        """Ask for one of everything that look-ups read, since each takes a scope of its own."""
        missing = []
        try:
            for path, scope in SCOPES.items():
                try:
                    await self._api.get(path, {"limit": "1"})
                except HelpdeskRefused as error:
                    if "HTTP 403" not in str(error):
                        raise
                    missing.append(scope)
        except HelpdeskError as error:
            return f"HubSpot refuses or does not answer: check HUBSPOT_API_TOKEN. HubSpot says: {error}"
        return f"The token lacks the scopes {', '.join(missing)}: add them to the private app." if missing else None

    async def _companies(self, group: Sequence[str]) -> dict[str, Company]:
        return {one: company(row) for one, row in (await self._batch("companies", group, COMPANY)).items()}

    async def _tickets(self, group: Sequence[str]) -> dict[str, Change]:
        read_at_us = int(self._clock() * 1_000_000)
        rows = await self._batch("tickets", group, TICKET, history=(STAGE,))
        alive = [one for one in group if one in rows]
        gone = [one for one in group if one not in rows]
        binned = await self._batch("tickets", gone, TICKET, archived=True) if gone else {}
        labels = await self._labels() if alive else {}
        site = await self._site() if alive else ""
        contacts = await self._associated("contacts", alive)
        companies = await self._associated("companies", alive)
        read = {one: deletion(binned[one], self._access) for one in gone if one in binned}
        for one in alive:
            refs = {"requester_id": contacts.get(one), "organization_id": companies.get(one)}
            change = snapshot(rows[one], self._access, refs, labels, site)
            # Associations may change without the ticket's own time: of two readings the later one holds.
            read[one] = replace(change, event_at_us=read_at_us)
        return read

    async def _batch(
        self,
        kind: str,
        group: Sequence[str],
        properties: Sequence[str],
        *,
        history: Sequence[str] = (),
        archived: bool = False,
    ) -> dict[str, Mapping[str, Json]]:
        """Read records by id; what the answer leaves out does not exist (207 lists them as errors)."""
        question: dict[str, Json] = {"inputs": [{"id": one} for one in group], "properties": list(properties)}
        if history:
            question["propertiesWithHistory"] = list(history)
        path = f"crm/v3/objects/{kind}/batch/read"
        answer = await self._api.post(path, question, {"archived": "true"} if archived else None)
        return {one: row for row in rows_of(answer, "results", path) if (one := record_id(row.get("id")))}

    async def _associated(self, kind: str, group: Sequence[str]) -> dict[str, str]:
        """Give the one record of a kind that belongs to each ticket: the primary one, else the oldest."""
        if not group:
            return {}
        path = f"crm/v4/associations/tickets/{kind}/batch/read"
        answer = await self._api.post(path, {"inputs": [{"id": one} for one in group]})
        found: dict[str, str] = {}
        for row in rows_of(answer, "results", path):
            ticket, others = record_id(mapping(row.get("from")).get("id")), row.get("to")
            chosen = main_of(others if isinstance(others, list) else [])
            if ticket and chosen:
                found[ticket] = chosen
        return found

    async def _labels(self) -> Mapping[str, str]:
        """Give the word of every stage."""
        return mapping(await self._memory.get("stages", self._read_labels))

    async def _read_labels(self) -> dict[str, str]:
        path = "crm/v3/pipelines/tickets"
        labels: dict[str, str] = {}
        for pipeline in rows_of(await self._api.get(path), "results", path):
            for stage in rows_of(pipeline, "stages", path):
                name = word(stage.get("label")) or word(mapping(stage.get("metadata")).get("ticketState"))
                if (stage_id := record_id(stage.get("id"))) and name:
                    labels[stage_id] = name
        return labels

    async def _owners(self) -> Mapping[str, Json]:
        return mapping(await self._memory.get("owners", self._read_owners))

    async def _read_owners(self) -> dict[str, Json]:
        """Read the list of owners, page by page."""
        owners: dict[str, Json] = {}
        query = {"limit": "500"}
        while len(owners) < OWNERS_MAX:
            answer = await self._api.get("crm/v3/owners", query)
            rows = {
                one: row for row in rows_of(answer, "results", "crm/v3/owners") if (one := record_id(row.get("id")))
            }
            after = text(mapping(mapping(answer.get("paging")).get("next")).get("after"))
            if not after or rows.keys() <= owners.keys():
                return owners | rows
            owners |= rows
            query = {"limit": "500", "after": after}
        return owners

    async def _site(self) -> str:
        """Give what stands before a ticket's number in its link."""
        account = mapping(await self._memory.get("account", lambda: self._api.get("account-info/v3/details")))
        portal, host = record_id(account.get("portalId")), text(account.get("uiDomain")) or self._access.site
        if portal is None:
            raise HelpdeskUnavailable("account-info/v3/details tells no portalId")
        return f"https://{host}/contacts/{portal}/record/0-5" if host.endswith(".hubspot.com") else ""


def main_of(others: Sequence[Json]) -> str | None:
    """
    Choose among associated records: the one that a label calls primary, else the oldest, whose id is the lowest.

    Wire: `{"toObjectId": 70233, "associationTypes": [{"typeId": 26, "label": "Primary"}]}`.
    """
    known = [(_rank(mapping(one)), int(found)) for one in others if (found := _other_id(mapping(one)))]
    return str(min(known)[1]) if known else None


def _other_id(other: Mapping[str, Json]) -> str | None:
    found = record_id(other.get("toObjectId"))
    return found if found and found.isascii() and found.isdecimal() else None


def _rank(other: Mapping[str, Json]) -> int:
    types = other.get("associationTypes")
    labels = [text(mapping(one).get("label")) or "" for one in types] if isinstance(types, list) else []
    return 0 if any("primary" in label.lower() for label in labels) else 1


def person(row: Mapping[str, Json]) -> Person:
    """Read a contact."""
    shown = mapping(row.get("properties"))
    names = [text(shown.get(name)) or "" for name in ("firstname", "lastname")]
    return Person(email=mail_address(shown.get("email")), name=" ".join(filter(None, names)) or None)


def owner(row: Json) -> Person | None:
    """Read an owner; None when the list has none of that id."""
    if not isinstance(row, dict):
        return None
    names = [text(row.get(name)) or "" for name in ("firstName", "lastName")]
    return Person(email=mail_address(row.get("email")), name=" ".join(filter(None, names)) or None)


def company(row: Mapping[str, Json]) -> Company:
    """Read a company; further domains are joined by semicolons."""
    shown = mapping(row.get("properties"))
    listed = [text(shown.get("domain")) or "", *(text(shown.get("hs_additional_domains")) or "").split(";")]
    domains = tuple(dict.fromkeys(found for one in listed if (found := one.strip().lower())))
    return Company(domains, name=text(shown.get("name")) or None)


def deletion(row: Mapping[str, Json], access: HelpdeskAccess) -> Change:
    """Give the change that a ticket in the recycling bin is."""
    return Change(
        ticket=access.prefix + (record_id(row.get("id")) or ""),
        connection=access.connection,
        updated_at_ms=instant_ms(row.get("archivedAt")) or instant_ms(row.get("updatedAt")),
        life="deleted",
        complete=True,
        reread=True,
    )


def snapshot(
    row: Mapping[str, Json],
    access: HelpdeskAccess,
    refs: Mapping[str, str | None],
    labels: Mapping[str, str],
    site: str,
) -> Change:
    """
    Read a ticket as a complete change, stamped with its own time of change, its status history included.

    Args:
        refs: the contact and the company that belong to it.
        labels: stage -> word.
        site: what stands before its number in its link; "" makes none.
    """
    shown = mapping(row.get("properties"))
    ticket = record_id(row.get("id")) or ""
    fields: dict[str, Json] = {
        "title": " ".join((text(shown.get("subject")) or "").split()),
        "description": plain_text(text(shown.get("content")) or ""),
        "severity": word(shown.get("hs_ticket_priority")) or "",
    }
    if status := labels.get(text(shown.get(STAGE)) or ""):
        fields["status"] = status
    if site:
        fields["url"] = f"{site}/{ticket}"
    owner_id = record_id(shown.get("hubspot_owner_id"))
    if owner_id is None:
        fields["agentEmail"] = ""
    stages = mapping(row.get("propertiesWithHistory")).get(STAGE)
    listed = stages if isinstance(stages, list) else []
    return Change(
        ticket=access.prefix + ticket,
        connection=access.connection,
        fields=fields,
        refs={**refs, "assignee_id": None if owner_id is None else OWNER + owner_id},
        updated_at_ms=instant_ms(shown.get("hs_lastmodifieddate")) or instant_ms(row.get("updatedAt")),
        created_at_ms=instant_ms(shown.get("createdate")) or instant_ms(row.get("createdAt")),
        life="live",
        complete=True,
        reread=True,
        history=_sightings(listed, labels),
        history_known=0 < len(listed) < HISTORY_MAX,
    )


def _sightings(stages: Sequence[Json], labels: Mapping[str, str]) -> tuple[tuple[int, str], ...]:
    """Wire: `"hs_pipeline_stage": [{"value": "1", "timestamp": "2026-10-05T16:00:05.000Z"}, ...]`, newest first."""
    seen = [
        (instant_ms(one.get("timestamp")), labels.get(text(one.get("value")) or "")) for one in map(mapping, stages)
    ]
    return tuple(sorted((at_ms, status) for at_ms, status in seen if at_ms is not None and status))

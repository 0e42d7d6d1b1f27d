"""A regional notes API: small, but a real use of both stores. PostgreSQL keeps, Redis remembers.

A cache that fails never fails a request. A database that fails is a 503 that says so, and when to
come back.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field, field_validator
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import JSONResponse, Response

from app.logs import event, request_id
from app.settings import Settings
from app.stores import Cache, Database, StoreError
from app.telemetry import Telemetry

ID_MAX = 2**63 - 1
RETRY_AFTER_S = 1
COLUMNS = "id, text, region, created_at"

NoteId = Annotated[int, Path(ge=1, le=ID_MAX)]


class NewNote(BaseModel):
    """What a client writes."""

    text: Annotated[str, Field(min_length=1, max_length=2000)]

    @field_validator("text")
    @classmethod
    def storable(cls, value: str) -> str:
        """PostgreSQL stores no NUL, and UTF-8 has no surrogates."""
        if "\x00" in value:
            raise ValueError("NUL cannot be stored")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("not valid Unicode") from None
        return value


class Note(BaseModel):
    """A note as stored."""

    id: int
    text: str
    region: str
    created_at: datetime


class Notes:
    """The notes of one region."""

    def __init__(
        self, settings: Settings, telemetry: Telemetry, database: Database, cache: Cache | None
    ):
        self._region = settings.region
        self._telemetry = telemetry
        self._database = database
        self._cache = cache

    async def create(self, new: NewNote) -> dict[str, Any]:
        async def insert(connection: AsyncConnection) -> Row[Any]:
            statement = (
                f"INSERT INTO notes (text, region) VALUES (:text, :region) RETURNING {COLUMNS}"
            )
            result = await connection.execute(
                text(statement), {"text": new.text, "region": self._region}
            )
            return result.one()

        note = _shown(await self._database.write(insert))
        self._telemetry.notes_created.inc()
        return note

    async def get(self, number: int) -> dict[str, Any] | None:
        key = f"note:{number}"
        if self._cache is not None:
            found, went = await self._cache.get(key)
            self._telemetry.cache.labels(went).inc()
            if found is not None:
                return found

        async def select(connection: AsyncConnection) -> Row[Any] | None:
            statement = f"SELECT {COLUMNS} FROM notes WHERE id = :id"
            return (await connection.execute(text(statement), {"id": number})).one_or_none()

        row = await self._database.read(select)
        if row is None:
            return None
        note = _shown(row)
        if self._cache is not None:
            await self._cache.put(key, note)
        return note

    async def newest(self, limit: int) -> list[dict[str, Any]]:
        async def select(connection: AsyncConnection) -> list[Row[Any]]:
            statement = f"SELECT {COLUMNS} FROM notes ORDER BY id DESC LIMIT :limit"
            return list(await connection.execute(text(statement), {"limit": limit}))

        return [_shown(row) for row in await self._database.read(select)]

    async def delete(self, number: int) -> bool:
        """Whether the note existed. A read at the same time may cache it until its TTL ends."""

        async def delete(connection: AsyncConnection) -> int:
            result = await connection.execute(
                text("DELETE FROM notes WHERE id = :id"), {"id": number}
            )
            return result.rowcount

        gone = await self._database.write(delete) > 0
        if self._cache is not None:
            await self._cache.drop(f"note:{number}")
        return gone


def router(notes: Notes | None) -> APIRouter:
    """The endpoints; without a database each says so."""
    routes = APIRouter(prefix="/notes", tags=["notes"])

    @routes.post("", status_code=201, response_model=Note)
    async def post_note(new: NewNote) -> Response:
        return await _answer(notes, lambda n: n.create(new), 201)

    @routes.get("", response_model=list[Note])
    async def get_notes(limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Response:
        return await _answer(notes, lambda n: n.newest(limit))

    @routes.get("/{number}", response_model=Note)
    async def get_note(number: NoteId) -> Response:
        return await _answer(notes, lambda n: n.get(number))

    @routes.delete("/{number}", status_code=204)
    async def delete_note(number: NoteId) -> Response:
        return await _answer(notes, lambda n: n.delete(number), 204)

    return routes


async def _answer(notes: Notes | None, work: Any, status: int = 200) -> Response:
    if notes is None:
        return _problem(501, "no_database", "DATABASE_URL is not set in this region")
    try:
        result = await work(notes)
    except StoreError as error:
        event(logging.WARNING, "database failed", reason=str(error))
        return _problem(
            503, "database_unavailable", str(error), {"retry-after": str(RETRY_AFTER_S)}
        )
    if result is None or result is False:
        return _problem(404, "not_found", "there is no such note")
    if status == 204:
        return Response(status_code=204)
    headers = {"location": f"/notes/{result['id']}"} if status == 201 else None
    return JSONResponse(result, status, headers=headers)


def _problem(
    status: int, error: str, detail: str, headers: dict[str, str] | None = None
) -> Response:
    body = {"error": error, "detail": detail, "request_id": request_id.get()}
    return JSONResponse(body, status, headers=headers)


def _shown(row: Row[Any]) -> dict[str, Any]:
    return Note.model_validate(row, from_attributes=True).model_dump(mode="json")

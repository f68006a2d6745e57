"""The agents' work: plays the script for each job that a user has spoken to.

It lives on the event loop that serves the sockets, because the in-memory channel layer knows no
other; it hears of jobs over a channel, so that nothing holds a reference to it.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import Any, Final, assert_never
from uuid import UUID

from channels import DEFAULT_CHANNEL_LAYER
from channels.db import database_sync_to_async
from channels.layers import channel_layers
from django.db import transaction
from django.utils import timezone

from demo.backend.frames import Dialect, Frame, Kind, frame
from demo.backend.models import App, Job
from demo.backend.script import App as AppEvent
from demo.backend.script import Chat, Event, Status, Step, events, prd_markdown
from demo.backend.transcript import ORCHESTRATOR, broadcast, record

_MOST_JOBS: Final = 1_000
_AGENT_ROLE: Final = "assistant"

logger = logging.getLogger(__name__)


class Orchestrator:
    """Plays the script for at most 1,000 jobs at once; others wait in the channel."""

    def __init__(self, *, dialect: Dialect, delay: float, prd_size: int) -> None:
        """`delay` is the pause before each frame, seconds; `prd_size` is in characters."""
        self._dialect = dialect
        self._delay = delay
        self._prd_size = prd_size
        self._places = asyncio.Semaphore(_MOST_JOBS)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Starts a job's script whenever one is asked for; ends by cancellation."""
        layer = channel_layers[DEFAULT_CHANNEL_LAYER]
        try:
            while True:
                await self._places.acquire()
                message = await layer.receive(ORCHESTRATOR)
                task = asyncio.create_task(self._play(UUID(message["job_id"])))
                self._tasks.add(task)
                task.add_done_callback(self._ended)
        finally:
            for task in self._tasks:
                task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._places.release()

    async def _play(self, job_id: UUID) -> None:
        try:
            prompt = await database_sync_to_async(claim)(job_id)
            if prompt is None:
                return
            order = 0
            for event in events(prompt):
                await asyncio.sleep(self._delay)
                order += isinstance(event, Step)
                await self._perform(job_id, event, order)
        except Job.DoesNotExist:
            # Its owner deleted it meanwhile: there is nobody left to tell.
            return
        except Exception:
            logger.exception("The script of job %s broke off", job_id)
            await self._perform(job_id, Status("failed", "The agents stopped unexpectedly"), 0)

    async def _perform(self, job_id: UUID, event: Event, order: int) -> None:
        await broadcast(job_id, await database_sync_to_async(self._store)(job_id, event, order))

    @transaction.atomic
    def _store(self, job_id: UUID, event: Event, order: int) -> Frame:
        """Stores what an event changes and says how it is told.

        Raises:
            Job.DoesNotExist: the job is gone.
        """
        at = timezone.now()
        fields: dict[str, Any]
        match event:
            case Status(status, message):
                self._store_status(job_id, event)
                kind, fields = Kind.STATUS, {"status": status, "message": message}
            case Step(agent, message):
                self._store_step(job_id, event, order, at)
                kind, fields = Kind.STEP, {"agent": agent, "message": message, "order": order}
            case Chat(sender, content, metadata):
                fields = {
                    "role": _AGENT_ROLE,
                    "sender": sender,
                    "content": content,
                    "metadata": metadata,
                }
                kind, at = Kind.CHAT, record(job_id, **fields).created_at
            case AppEvent(spec):
                prd = prd_markdown(spec["name"], self._prd_size)
                job = Job.objects.get(pk=job_id)
                App.objects.create(job=job, spec=spec, prd_markdown=prd, prd_generated_at=at)
                kind, fields = Kind.APP, {"spec": spec, "prdMarkdown": prd}
            case _:
                assert_never(event)
        return frame(self._dialect, kind, job_id, at, **fields)

    @staticmethod
    def _store_status(job_id: UUID, event: Status) -> None:
        job = Job.objects.get(pk=job_id)
        job.status = event.status
        if event.summary is not None:
            job.requirements_summary = event.summary
        if event.status == Job.Status.FAILED:
            job.error_message = event.message or ""
        job.save(update_fields=["status", "requirements_summary", "error_message", "updated_at"])

    @staticmethod
    def _store_step(job_id: UUID, event: Step, order: int, at: datetime) -> None:
        job = Job.objects.get(pk=job_id)
        job.steps.create(agent_name=event.agent, message=event.message, order=order, created_at=at)


def claim(job_id: UUID) -> str | None:
    """Takes a job out of `collecting`; its prompt, or None if it has left that before."""
    with transaction.atomic():
        waiting = Job.objects.filter(pk=job_id, status=Job.Status.COLLECTING)
        if not waiting.update(status=Job.Status.QUEUED, updated_at=timezone.now()):
            return None
        return Job.objects.get(pk=job_id).prompt


def abandon_unfinished() -> None:
    """Ends the jobs whose script an earlier process left off."""
    unfinished = Job.objects.filter(status__in=(Job.Status.QUEUED, Job.Status.RUNNING))
    unfinished.update(
        status=Job.Status.FAILED,
        error_message="The server was restarted",
        updated_at=timezone.now(),
    )

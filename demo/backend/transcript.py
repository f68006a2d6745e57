"""What is said about a job: stored, sent to everybody who watches, and heard by the agents."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from channels import DEFAULT_CHANNEL_LAYER
from channels.exceptions import ChannelFull
from channels.layers import channel_layers
from django.conf import settings
from django.utils import timezone

from demo.backend.frames import Frame, Kind, frame
from demo.backend.models import Job, Message

ORCHESTRATOR: Final = "orchestrator"
"""The channel on which the orchestrator hears of jobs."""

USER_ROLE: Final = "user"


def group_of(job_id: UUID) -> str:
    """The group of everybody who watches a job."""
    return f"job.{job_id}"


async def broadcast(job_id: UUID, content: Frame) -> None:
    """Sends a frame to every WebSocket of a job."""
    layer = channel_layers[DEFAULT_CHANNEL_LAYER]
    await layer.group_send(group_of(job_id), {"type": "job.frame", "frame": content})


def record(
    job_id: UUID, *, role: str, sender: str, content: str, metadata: dict[str, Any]
) -> Message:
    """Stores one message.

    Raises:
        Job.DoesNotExist: the job is gone.
    """
    job = Job.objects.get(pk=job_id)
    return job.messages.create(
        role=role, sender=sender, content=content, metadata=metadata, created_at=timezone.now()
    )


async def announce(message: Message) -> None:
    """Sends a stored message to everybody; what a user says wakes the agents."""
    await broadcast(
        message.job_id,
        frame(
            settings.SEGUE_DEMO.dialect,
            Kind.CHAT,
            message.job_id,
            message.created_at,
            role=message.role,
            sender=message.sender,
            content=message.content,
            metadata=message.metadata,
        ),
    )
    if message.role == USER_ROLE:
        try:
            await channel_layers[DEFAULT_CHANNEL_LAYER].send(
                ORCHESTRATOR, {"type": "job.start", "job_id": str(message.job_id)}
            )
        except ChannelFull:
            # The job stays `collecting`; the user's next message asks again.
            return

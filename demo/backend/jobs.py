"""Jobs, their transcripts and their apps: `/api/jobs/`, `/api/job-messages/`, `/api/apps/`.

Everybody sees what is theirs; what is somebody else's answers 404, as if it were not there.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from rest_framework import generics, status
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from demo.backend.accounts import caller
from demo.backend.models import App, Job, Message
from demo.backend.serializers import (
    AppSerializer,
    JobChangeSerializer,
    JobDetailSerializer,
    JobSerializer,
    MessageSerializer,
    NewJobSerializer,
    NewMessageSerializer,
)
from demo.backend.transcript import announce, record


class JobsView(generics.ListAPIView[Job]):
    """GET: the caller's jobs, newest first. POST `{prompt}`: 201 and the job, `collecting`."""

    serializer_class = JobSerializer

    def get_queryset(self) -> QuerySet[Job]:
        """The caller's jobs."""
        return Job.objects.filter(owner=caller(self.request))

    def post(self, request: Request) -> Response:
        """Makes a job."""
        serializer = NewJobSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        prompt = serializer.validated_data["prompt"]
        job = Job.objects.create(owner=caller(request), initial_prompt=prompt, prompt=prompt)
        return Response(JobSerializer(job).data, status=status.HTTP_201_CREATED)


class JobView(generics.RetrieveDestroyAPIView[Job]):
    """GET: the job with steps and messages. PATCH `{initial_prompt}`: the job. DELETE: 204."""

    serializer_class = JobDetailSerializer

    def get_queryset(self) -> QuerySet[Job]:
        """The caller's jobs."""
        return Job.objects.filter(owner=caller(self.request))

    def patch(self, request: Request, pk: UUID) -> Response:
        """Changes the initial prompt, and the prompt too while the job is `collecting`."""
        serializer = JobChangeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            job = get_object_or_404(self.get_queryset(), pk=pk)
            job.initial_prompt = serializer.validated_data["initial_prompt"]
            if job.status == Job.Status.COLLECTING:
                job.prompt = job.initial_prompt
            job.save(update_fields=["initial_prompt", "prompt", "updated_at"])
        return Response(JobSerializer(job).data)


class PurgeView(APIView):
    """DELETE: 200 `{deleted: n}`, the number of the caller's jobs, or 403 where not allowed."""

    def delete(self, request: Request) -> Response:
        """Deletes all of the caller's jobs."""
        if not settings.ALLOW_JOB_PURGE:
            raise PermissionDenied("Purging jobs is not allowed on this server.")
        _, by_model = Job.objects.filter(owner=caller(request)).delete()
        return Response({"deleted": by_model.get("backend.Job", 0)})


class MessagesView(generics.ListAPIView[Message]):
    """GET `?job_id=`: the transcript, oldest first. POST: 201 and the message, sent as a frame."""

    serializer_class = MessageSerializer

    def get_queryset(self) -> QuerySet[Message]:
        """The messages of the caller's job that the query names."""
        try:
            job_id = UUID(self.request.query_params["job_id"])
        except (KeyError, ValueError):
            raise ValidationError({"detail": "Expected ?job_id=<uuid>."}) from None
        return get_object_or_404(Job, pk=job_id, owner=caller(self.request)).messages.all()

    def post(self, request: Request) -> Response:
        """Adds to the transcript of one of the caller's jobs."""
        serializer = NewMessageSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        said: dict[str, Any] = dict(serializer.validated_data)
        job_id = said.pop("job_id")
        with transaction.atomic():
            get_object_or_404(Job, pk=job_id, owner=caller(request))
            message = record(job_id, **said)
        async_to_sync(announce)(message)
        return Response(MessageSerializer(message).data, status=status.HTTP_201_CREATED)


class MessageView(generics.RetrieveDestroyAPIView[Message]):
    """GET: one message of the caller's jobs. DELETE: 204."""

    serializer_class = MessageSerializer

    def get_queryset(self) -> QuerySet[Message]:
        """The messages of the caller's jobs."""
        return Message.objects.filter(job__owner=caller(self.request))


class AppsView(generics.ListAPIView[App]):
    """GET: the caller's apps, newest first."""

    serializer_class = AppSerializer

    def get_queryset(self) -> QuerySet[App]:
        """The apps of the caller's jobs."""
        return App.objects.filter(job__owner=caller(self.request))


class AppView(generics.RetrieveAPIView[App]):
    """GET: one of the caller's apps."""

    serializer_class = AppSerializer

    def get_queryset(self) -> QuerySet[App]:
        """The apps of the caller's jobs."""
        return App.objects.filter(job__owner=caller(self.request))


class AppByJobView(APIView):
    """GET: the app of one of the caller's jobs, or 204 while there is none."""

    def get(self, request: Request, job_id: UUID) -> Response:
        """The app, if the job has come that far."""
        job = get_object_or_404(Job, pk=job_id, owner=caller(request))
        app = App.objects.filter(job=job).first()
        if app is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return Response(AppSerializer(app).data)

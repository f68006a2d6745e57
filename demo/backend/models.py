"""What the server stores: users, their jobs, and what the agents make of each job."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class UserManager(BaseUserManager["User"]):
    """Makes users; the password is stored as a salted hash."""

    def create_user(self, email: str, password: str, name: str = "") -> User:
        """Stores a new user.

        Raises:
            django.db.IntegrityError: the address is taken.
        """
        user = self.model(email=email, name=name)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser):
    """Somebody who logs in with an e-mail address."""

    email: models.EmailField[str, str] = models.EmailField(unique=True)
    name: models.CharField[str, str] = models.CharField(max_length=150, blank=True)
    is_active: models.BooleanField[bool, bool] = models.BooleanField(default=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"

    def __str__(self) -> str:
        return self.email


class Job(models.Model):
    """A wish for an app, and how far the agents are with it."""

    class Status(models.TextChoices):
        """`collecting` until the first chat message, then as the script goes."""

        COLLECTING = "collecting"
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    id: models.UUIDField[UUID, UUID] = models.UUIDField(
        primary_key=True, default=uuid4, editable=False
    )
    owner: models.ForeignKey[User, User] = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE
    )
    initial_prompt: models.TextField[str, str] = models.TextField()
    prompt: models.TextField[str, str] = models.TextField()
    requirements_summary: models.TextField[str, str] = models.TextField(blank=True)
    status: models.CharField[str, str] = models.CharField(
        max_length=10, choices=Status.choices, default=Status.COLLECTING
    )
    error_message: models.TextField[str, str] = models.TextField(blank=True)
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True)
    updated_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now=True)

    if TYPE_CHECKING:
        steps: RelatedManager[Step]
        messages: RelatedManager[Message]

    class Meta:
        """Newest first, as the list shows them."""

        ordering: ClassVar[Any] = ("-created_at",)

    def __str__(self) -> str:
        return str(self.id)


class Step(models.Model):
    """One step of an agent's work; `order` counts from 1 in each job."""

    job: models.ForeignKey[Job, Job] = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="steps"
    )
    agent_name: models.CharField[str, str] = models.CharField(max_length=100)
    message: models.TextField[str, str] = models.TextField()
    order: models.PositiveIntegerField[int, int] = models.PositiveIntegerField()
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()

    class Meta:
        """In the order of the work."""

        ordering: ClassVar[Any] = ("order",)

    def __str__(self) -> str:
        return f"{self.agent_name} {self.order}"


class Message(models.Model):
    """One message of a job's transcript."""

    job: models.ForeignKey[Job, Job] = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="messages"
    )
    role: models.CharField[str, str] = models.CharField(max_length=20)
    sender: models.CharField[str, str] = models.CharField(max_length=100)
    content: models.TextField[str, str] = models.TextField()
    metadata: models.JSONField[Any, Any] = models.JSONField(default=dict)
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()

    if TYPE_CHECKING:
        job_id: UUID

    class Meta:
        """Oldest first, as the transcript reads."""

        ordering: ClassVar[Any] = ("id",)

    def __str__(self) -> str:
        return f"{self.sender} {self.pk}"


class App(models.Model):
    """What came out of a job."""

    job: models.OneToOneField[Job, Job] = models.OneToOneField(
        Job, on_delete=models.CASCADE, related_name="app"
    )
    spec: models.JSONField[Any, Any] = models.JSONField()
    prd_markdown: models.TextField[str, str] = models.TextField()
    prd_generated_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True)
    updated_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now=True)

    if TYPE_CHECKING:
        job_id: UUID

    class Meta:
        """Newest first, as the list shows them."""

        ordering: ClassVar[Any] = ("-created_at",)

    def __str__(self) -> str:
        return str(self.job_id)

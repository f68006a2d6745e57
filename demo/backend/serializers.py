"""What the REST API reads and writes."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework import serializers

from demo.backend.models import App, Job, Message, Step, User

LONGEST_TEXT: Final = 100_000
"""The longest prompt or message, characters."""

_DEEPEST_METADATA: Final = 32


def storable(value: Any) -> bool:
    """Whether a JSON value can be stored and sent again: nested no deeper than 32, all text UTF-8.

    JSON can spell lone surrogates, which no UTF-8 text can hold, and any depth.
    """
    level = [value]
    for _ in range(_DEEPEST_METADATA):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str):
                try:
                    item.encode()
                except UnicodeEncodeError:
                    return False
        if not below:
            return True
        level = below
    return False


class UserSerializer(serializers.ModelSerializer[User]):
    """A user, as the API shows it."""

    class Meta:
        """The fields, in their order."""

        model = User
        fields = ("id", "email", "name")


class RegistrationSerializer(serializers.Serializer[User]):
    """`{email, password, name?}`; the address counts in lower case."""

    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(min_length=8, max_length=128, trim_whitespace=False)
    name = serializers.CharField(max_length=150, required=False, allow_blank=True, default="")

    def validate_email(self, value: str) -> str:
        """Refuses an address that is taken."""
        email = value.lower()
        if User.objects.filter(email=email).exists():
            raise serializers.ValidationError("A user with this email already exists.")
        return email


class JobSerializer(serializers.ModelSerializer[Job]):
    """A job without its steps and messages."""

    class Meta:
        """The fields, in their order."""

        model = Job
        fields: ClassVar[Any] = (
            "id",
            "initial_prompt",
            "prompt",
            "requirements_summary",
            "status",
            "error_message",
            "created_at",
            "updated_at",
        )


class NewJobSerializer(serializers.Serializer[Job]):
    """`{prompt}`."""

    prompt = serializers.CharField(max_length=LONGEST_TEXT)


class JobChangeSerializer(serializers.Serializer[Job]):
    """`{initial_prompt}`."""

    initial_prompt = serializers.CharField(max_length=LONGEST_TEXT)


class StepSerializer(serializers.ModelSerializer[Step]):
    """A step, as the job's detail shows it."""

    class Meta:
        """The fields, in their order."""

        model = Step
        fields = ("id", "agent_name", "message", "order", "created_at")


class MessageSerializer(serializers.ModelSerializer[Message]):
    """A message of the transcript."""

    class Meta:
        """The fields, in their order."""

        model = Message
        fields = ("id", "role", "sender", "content", "metadata", "created_at")


class JobDetailSerializer(JobSerializer):
    """A job with its steps and messages."""

    steps = StepSerializer(many=True)
    messages = MessageSerializer(many=True)

    class Meta(JobSerializer.Meta):
        """The fields, in their order."""

        fields = (*JobSerializer.Meta.fields, "steps", "messages")


class NewMessageSerializer(serializers.Serializer[Message]):
    """`{job_id, role, sender, content, metadata?}`."""

    job_id = serializers.UUIDField()
    role = serializers.CharField(max_length=20)
    sender = serializers.CharField(max_length=100)
    content = serializers.CharField(max_length=LONGEST_TEXT, trim_whitespace=False)
    metadata = serializers.JSONField(required=False, default=dict)

    def validate_metadata(self, value: Any) -> dict[str, Any]:
        """Only an object that can be stored and sent again."""
        if not isinstance(value, dict) or not storable(value):
            raise serializers.ValidationError("Expected a JSON object that can be stored.")
        return value


class AppSerializer(serializers.ModelSerializer[App]):
    """An app."""

    job_id = serializers.UUIDField(read_only=True)

    class Meta:
        """The fields, in their order."""

        model = App
        fields = (
            "id",
            "job_id",
            "spec",
            "prd_markdown",
            "prd_generated_at",
            "created_at",
            "updated_at",
        )

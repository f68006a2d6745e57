"""Register, log in, refresh, log out: `/api/auth/`.

The tokens are SimpleJWT's, and so are the bodies of its refusals: 401 with
`code: "token_not_valid"` and `WWW-Authenticate: Bearer realm="api"`.
"""

from __future__ import annotations

from typing import Any, cast

from django.db import IntegrityError, transaction
from django.utils.decorators import method_decorator
from rest_framework import status
from rest_framework.exceptions import ErrorDetail
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField, Serializer
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from demo.backend.models import User
from demo.backend.serializers import RegistrationSerializer, UserSerializer


class LoginSerializer(TokenObtainPairSerializer):
    """`{email, password}` in, `{access, refresh, user}` out."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The pair of tokens and who got them."""
        pair = super().validate(attrs)
        return {
            "access": pair["access"],
            "refresh": pair["refresh"],
            "user": UserSerializer(cast("User", self.user)).data,
        }


class LogoutSerializer(Serializer[Any]):
    """`{refresh}`."""

    refresh = CharField()


class RegisterView(APIView):
    """POST `{email, password, name?}`: 201 `{access, refresh, user}`, or 400 `{detail}`."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def post(self, request: Request) -> Response:
        """Makes the user and logs it in."""
        serializer = RegistrationSerializer(data=request.data)
        if not serializer.is_valid():
            return _refused(_first_message(serializer.errors))
        try:
            with transaction.atomic():
                user = User.objects.create_user(**serializer.validated_data)
                refresh = RefreshToken.for_user(user)
        except IntegrityError:
            # Somebody else took the address after it was checked.
            return _refused("A user with this email already exists.")
        return Response(
            {
                "access": str(refresh.access_token),
                "refresh": str(refresh),
                "user": UserSerializer(user).data,
            },
            status=status.HTTP_201_CREATED,
        )


class LoginView(TokenObtainPairView):
    """POST `{email, password}`: 200 `{access, refresh, user}`, or 401."""

    serializer_class = LoginSerializer


@method_decorator(transaction.atomic, "post")
class RefreshView(TokenRefreshView):
    """POST `{refresh}`: 200 `{access, refresh}`, or 401.

    One transaction that holds the write lock from its start: of several that present one token at
    the same moment, exactly one gets a new pair.
    """


class LogoutView(APIView):
    """POST `{refresh}` with a valid access token: 205, and the refresh token is blacklisted."""

    def post(self, request: Request) -> Response:
        """Blacklists the token if it is the caller's own."""
        serializer = LogoutSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            with transaction.atomic():
                refresh = RefreshToken(serializer.validated_data["refresh"])
                if refresh.get(api_settings.USER_ID_CLAIM) != str(caller(request).pk):
                    return _refused("The token is somebody else's.")
                refresh.blacklist()
        except TokenError as error:
            return _refused(str(error))
        return Response(status=status.HTTP_205_RESET_CONTENT)


class MeView(APIView):
    """GET: the caller."""

    def get(self, request: Request) -> Response:
        """The user whose access token it is."""
        return Response(UserSerializer(caller(request)).data)


def caller(request: Request) -> User:
    """The user of a request that the permissions have let through."""
    return cast("User", request.user)


def _refused(detail: str) -> Response:
    return Response({"detail": detail}, status=status.HTTP_400_BAD_REQUEST)


def _first_message(errors: Any) -> str:
    """The first of a serializer's errors as `field: message`; the field is left out if none is."""
    field, messages = next(iter(errors.items()))
    message: ErrorDetail = messages[0]
    return str(message) if field == "non_field_errors" else f"{field}: {message}"

"""The routes of `django_tokens`: imported by Django, once it knows its settings."""

from __future__ import annotations

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt import views


class Me(APIView):
    """Says who asks."""

    def get(self, request: Request) -> Response:
        return Response({"username": request.user.get_username()})


urlpatterns = [
    path("auth/jwt/create/", views.TokenObtainPairView.as_view()),
    path("auth/jwt/refresh/", views.TokenRefreshView.as_view()),
    path("auth/jwt/verify/", views.TokenVerifyView.as_view()),
    path("auth/jwt/blacklist/", views.TokenBlacklistView.as_view()),
    path("auth/users/me/", Me.as_view()),
]

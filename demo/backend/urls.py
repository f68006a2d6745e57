"""The paths of the REST API."""

from __future__ import annotations

from django.urls import path
from rest_framework_simplejwt.views import TokenObtainPairView

from demo.backend.accounts import LoginView, LogoutView, MeView, RefreshView, RegisterView
from demo.backend.jobs import (
    AppByJobView,
    AppsView,
    AppView,
    JobsView,
    JobView,
    MessagesView,
    MessageView,
    PurgeView,
)

urlpatterns = [
    path("api/auth/register/", RegisterView.as_view()),
    path("api/auth/login/", LoginView.as_view()),
    path("api/auth/token/", TokenObtainPairView.as_view()),
    path("api/auth/token/refresh/", RefreshView.as_view()),
    path("api/auth/logout/", LogoutView.as_view()),
    path("api/auth/me/", MeView.as_view()),
    path("api/jobs/", JobsView.as_view()),
    path("api/jobs/purge/", PurgeView.as_view()),
    path("api/jobs/<uuid:pk>/", JobView.as_view()),
    path("api/job-messages/", MessagesView.as_view()),
    path("api/job-messages/<int:pk>/", MessageView.as_view()),
    path("api/apps/", AppsView.as_view()),
    path("api/apps/<int:pk>/", AppView.as_view()),
    path("api/apps/by-job/<uuid:job_id>/", AppByJobView.as_view()),
]

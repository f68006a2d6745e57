"""The section `client`: the reference client, a page that speaks only the new dialect."""

from __future__ import annotations

from proxy.configuration.fields import ClientVersion, Duration, ExactPath, Section
from proxy.versions.version import Version


class ClientPaths(Section):
    """Where the server has what the client asks for, beside the routes of `sessions.paths`.

    Attributes:
        registration: gives tokens to a new user.
        me: tells who is logged in.
        jobs: the jobs; one of them is below, by its id.
        job_messages: the messages of jobs; one of them is below, by its id.
        apps: the apps; one of them is below, by its id.
        purge: deletes all jobs of a user.
        sockets: the WebSocket of a job is below, by its id.
    """

    registration: ExactPath = "/api/auth/register/"
    me: ExactPath = "/api/auth/me/"
    jobs: ExactPath = "/api/jobs/"
    job_messages: ExactPath = "/api/job-messages/"
    apps: ExactPath = "/api/apps/"
    purge: ExactPath = "/api/jobs/purge/"
    sockets: ExactPath = "/ws/jobs/"


class Client(Section):
    """The reference client, a page for browsers that the public listener serves.

    Attributes:
        enabled: whether it is at `/_segue/client/`. Nothing that begins with `/_segue/` reaches the
            server then.
        dev_mode: whether it shows what is for developers: purging, deleting and adding messages.
        version: the one that it tells; it has to be in a cohort that gets the new dialect.
        paths: of the server's routes.
        refresh_before: how long before its end the client renews its access token.
    """

    enabled: bool = False
    dev_mode: bool = False
    version: ClientVersion = Version(0, (2,), "2.0")
    paths: ClientPaths = ClientPaths()
    refresh_before: Duration = 300.0

"""Talks to a Superset as a person's browser does: logs in, then sends requests; standard library only."""

import http.cookiejar
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Optional

# A cold Superset takes seconds for its first responses.
REQUEST_TIMEOUT_S = 60


class Refused(Exception):
    """Superset responded, but not with what was requested."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:500]}")
        self.status = status


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Shows a redirect as what it is, since one to the login page is a refusal."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Superset:
    """One visitor with its cookies; anonymous until `log_in`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.cookies = http.cookiejar.CookieJar()
        handlers = [urllib.request.HTTPCookieProcessor(self.cookies), NoRedirect()]
        self.opener = urllib.request.build_opener(*handlers)
        self.headers: dict[str, str] = {"Referer": self.url}

    def send(self, path: str, body: Optional[bytes] = None, kind: str = "application/json") -> tuple[int, str]:
        """Gives the status and the text of any response."""
        headers = {**self.headers, **({"Content-Type": kind} if body is not None else {})}
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        try:
            with self.opener.open(request, timeout=REQUEST_TIMEOUT_S) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")

    def get(self, path: str) -> Any:
        """Gives a JSON response."""
        return self.json(self.send(path))

    def post(self, path: str, value: Any) -> Any:
        """Sends JSON, and gives the JSON response."""
        return self.json(self.send(path, json.dumps(value).encode()))

    def post_form(self, path: str, fields: dict[str, str]) -> Any:
        """Sends a form, and gives the JSON response."""
        body = urllib.parse.urlencode(fields).encode()
        return self.json(self.send(path, body, "application/x-www-form-urlencoded"))

    def json(self, response: tuple[int, str]) -> Any:
        """Reads a response, or says what came instead."""
        status, text = response
        if status != 200:
            raise Refused(status, text)
        return json.loads(text)

    def log_in(self, user: str, password: str) -> None:
        """Logs in by the form that people use."""
        status, page = self.send("/login/")
        token = re.search(r'name="csrf_token"[^>]*?value="([^"]+)"', page, re.DOTALL)
        if status != 200 or not token:
            raise Refused(status, f"the login page has no form: {page}")
        fields = {"username": user, "password": password, "csrf_token": token.group(1)}
        self.send("/login/", urllib.parse.urlencode(fields).encode(), "application/x-www-form-urlencoded")
        status, text = self.send("/api/v1/me/")
        if status != 200:
            raise Refused(status, f"{user} cannot log in: {text}")
        self.headers["X-CSRFToken"] = self.get("/api/v1/security/csrf_token/")["result"]


def logged_in(url: str) -> Superset:
    """Gives the admin's session; the password is SUPERSET_ADMIN_PASSWORD."""
    password = os.environ.get("SUPERSET_ADMIN_PASSWORD")
    if not password:
        sys.exit("SUPERSET_ADMIN_PASSWORD is not set")
    superset = Superset(url)
    superset.log_in("admin", password)
    return superset

# SPDX-License-Identifier: Apache-2.0
"""A mock Hub server for uploading and loading models. Files are kept in memory."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class StandInHub:
    """Runs inside `with`; `endpoint` is its address, `files` what each repository holds, `commits` how many it had."""

    def __enter__(self):
        self.files: dict[str, dict[str, bytes]] = {}
        self.commits: dict[str, int] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.hub = self
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def revision(self, repository):
        return f"{self.commits[repository]:040x}"

    def commit(self, repository, lines):
        files = self.files[repository]
        for line in map(json.loads, lines):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        self.commits[repository] += 1
        revision = self.revision(repository)
        return {"success": True, "commitOid": revision, "commitUrl": f"{self.endpoint}/{repository}/commit/{revision}"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> StandInHub:
        return self.server.hub

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}"
            self.hub.files.setdefault(name, {})
            self.hub.commits.setdefault(name, 0)
            self._json({"url": f"{self.hub.endpoint}/{name}", "name": name})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        else:
            user, name, action = path.removeprefix("/api/models/").split("/")[:3]
            if action == "preupload":
                files = [file["path"] for file in json.loads(body)["files"]]
                self._json({"files": [{"path": f, "uploadMode": "regular", "shouldIgnore": False} for f in files]})
            elif action == "commit":
                self._json(self.hub.commit(f"{user}/{name}", body.splitlines()))
            else:
                self._missing("EntryNotFound")

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        api = path.startswith("/api/models/")
        user, name, *rest = path.removeprefix("/api/models" if api else "").strip("/").split("/")
        repository = f"{user}/{name}"
        files = self.hub.files.get(repository)
        if files is None:
            self._missing("RepoNotFound")
        elif api and rest[:1] == ["tree"]:
            inside = "".join(f"{part}/" for part in rest[2:])
            found = [
                {"type": "file", "path": file, "size": len(content), "oid": _digest(content)}
                for file, content in files.items()
                if file.startswith(inside)
            ]
            self._json(found) if found or not inside else self._missing("EntryNotFound")
        elif api:
            siblings = [{"rfilename": file} for file in files]
            self._json({"id": repository, "sha": self.hub.revision(repository), "siblings": siblings, "tags": []})
        elif rest[:1] == ["resolve"] and "/".join(rest[2:]) in files:
            content = files["/".join(rest[2:])]
            self._send(content, ETag=f'"{_digest(content)}"', **{"X-Repo-Commit": self.hub.revision(repository)})
        else:
            self._missing("EntryNotFound", **{"X-Repo-Commit": self.hub.revision(repository)})

    do_HEAD = do_GET

    def _json(self, content):
        self._send(json.dumps(content).encode(), **{"Content-Type": "application/json"})

    def _missing(self, code, **headers):
        self._send(b"", 404, **{"X-Error-Code": code, **headers})

    def _send(self, content, status=200, **headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


def _digest(content):
    return hashlib.sha1(content).hexdigest()

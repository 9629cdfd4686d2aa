"""A minimal Hugging Face Hub on loopback, with what the real client needs.

Downloads (``/{repo}/resolve/{revision}/{file}``, large files behind ``X-Linked-*`` headers) and
uploads (create, branch, preupload, LFS batch, commit) use dictionaries in memory.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class FakeHub:
    """The server and its contents; a context manager."""

    def __init__(self):
        self.branches = {}  # repo_id -> {branch or tag: commit}
        self.commits = {}  # (repo_id, commit) -> {filename: bytes}
        self.lfs = {}  # sha256 -> bytes
        self.private = {}  # repo_id -> bool
        self.messages = []  # messages of pushed commits
        self.requests = []  # (method, path)
        self.tokens = set()
        self.answer_with = None  # HTTP status returned for every request
        self.tampered = {}  # sha256 -> bytes to send instead
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_exception):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def put(self, repo_id, files, *, branch="main"):
        """Commit ``files`` on ``branch``; return the commit, 40 hexadecimal digits."""
        listing = json.dumps({name: hashlib.sha256(c).hexdigest() for name, c in files.items()})
        commit = hashlib.sha1(f"{repo_id}{listing}".encode()).hexdigest()
        self.commits[repo_id, commit] = dict(files)
        self.branches.setdefault(repo_id, {})[branch] = commit
        return commit

    def find(self, repo_id, revision):
        commit = self.branches[repo_id].get(revision, revision)
        return commit if (repo_id, commit) in self.commits else None


def _handler(hub):  # noqa: C901 - one class of short responses
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args):
            pass

        def answer(self, status, content=b"", *, head=False, **headers):
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if not head:
                self.wfile.write(body)

        def begin(self):
            hub.requests.append((self.command, unquote(self.path)))
            hub.tokens.add(self.headers.get("authorization"))
            size = int(self.headers.get("Content-Length") or 0)
            self.body = self.rfile.read(size)
            if hub.answer_with:
                self.answer(hub.answer_with, head=self.command == "HEAD")
                return None
            return unquote(self.path.partition("?")[0]).strip("/").split("/")

        def do_GET(self):
            parts = self.begin()
            if parts is None:
                return
            head = self.command == "HEAD"
            repo_id = "/".join(parts[:2])
            if repo_id not in hub.branches or parts[2] != "resolve":
                self.answer(404, head=head, X_Error_Code="RepoNotFound")
                return
            if hub.private.get(repo_id) == "gated":
                self.answer(403, head=head, X_Error_Code="GatedRepo")
                return
            commit = hub.find(repo_id, parts[3])
            if commit is None:
                self.answer(404, head=head, X_Error_Code="RevisionNotFound")
                return
            content = hub.commits[repo_id, commit].get("/".join(parts[4:]))
            if content is None:
                self.answer(404, head=head, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
                return
            sha256 = hashlib.sha256(content).hexdigest()
            large = parts[-1].endswith(".safetensors")
            etag = sha256 if large else hashlib.sha1(content).hexdigest()
            content = hub.tampered.get(sha256, content)
            self.answer(200, content, head=head, ETag=f'"{etag}"', X_Repo_Commit=commit)

        do_HEAD = do_GET  # noqa: N815 - the server's name

        def do_POST(self):
            parts = self.begin()
            if parts is None:
                return
            if parts == ["api", "repos", "create"]:
                self.create(json.loads(self.body))
            elif parts == ["api", "validate-yaml"]:  # the front matter of the card
                self.answer(200, {"errors": [], "warnings": []})
            elif parts[-1] == "batch":
                self.batch(json.loads(self.body))
            elif parts[4] == "preupload":
                files = [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if "safetensors" in file["path"] else "regular",
                        "shouldIgnore": False,
                    }
                    for file in json.loads(self.body)["files"]
                ]
                self.answer(200, {"files": files})
            elif parts[4] == "branch":
                hub.branches["/".join(parts[2:4])].setdefault(parts[5], "")
                self.answer(201, {})
            elif parts[4] == "commit":
                self.commit("/".join(parts[2:4]), parts[5])
            else:
                self.answer(404)

        def create(self, wanted):
            repo_id = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
            status = 409 if repo_id in hub.branches else 200
            if status == 200:
                hub.branches[repo_id] = {"main": ""}
                hub.private[repo_id] = wanted.get("visibility") == "private" or wanted.get(
                    "private"
                )
            self.answer(status, {"url": f"{hub.endpoint}/{repo_id}", "name": repo_id})

        def batch(self, wanted):
            objects = [
                {**o, "actions": {"upload": {"href": f"{hub.endpoint}/lfs/{o['oid']}"}}}
                for o in wanted["objects"]
            ]
            self.answer(200, {"transfer": "basic", "objects": objects})

        def do_PUT(self):
            parts = self.begin()
            if parts is not None:
                hub.lfs[parts[1]] = self.body
                self.answer(200)

        def commit(self, repo_id, branch):
            files = {}
            for line in self.body.splitlines():
                operation = json.loads(line)
                value = operation["value"]
                if operation["key"] == "header":
                    hub.messages.append(value["summary"])
                elif operation["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif operation["key"] == "lfsFile":
                    files[value["path"]] = hub.lfs[value["oid"]]
            commit = hub.put(repo_id, files, branch=branch)
            url = f"{hub.endpoint}/{repo_id}/commit/{commit}"
            self.answer(200, {"success": True, "commitOid": commit, "commitUrl": url})

    return Handler

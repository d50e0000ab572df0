"""A database server for tests: MongoDB's wire protocol on loopback, documents kept by mongomock.

What a client does before and during a run of Sacred goes over a socket as with a real server:
handshake, pool of connections, BSON, GridFS. Only the commands that pymongo sends for that exist.
"""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bson
import mongomock

MESSAGE, QUERY, REPLY = 2013, 2004, 1  # opcodes
HEADER = struct.Struct("<iiii")  # length with header, its own number, the one it answers, opcode
HELLO = {
    "isWritablePrimary": True, "ismaster": True, "minWireVersion": 0, "maxWireVersion": 21,
    "maxBsonObjectSize": 2**24, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
}  # fmt: skip


def documents(content: bytes) -> list[dict[str, Any]]:
    """Of a row of BSON documents."""
    return list(bson.decode_all(content))


def command(content: bytes) -> dict[str, Any]:
    """Of an OP_MSG: its body, with what came beside it (`documents`, `updates`, `deletes`)."""
    body: dict[str, Any] = {}
    at = 4  # flags
    while at < len(content):
        kind = content[at]
        size = struct.unpack_from("<i", content, at + 1)[0]
        if kind == 0:
            body |= documents(content[at + 1 : at + 1 + size])[0]
        else:
            name, _, rest = content[at + 5 : at + 1 + size].partition(b"\0")
            body[name.decode()] = documents(rest)
        at += 1 + size
    return body


def answer(database: Any, words: dict[str, Any]) -> dict[str, Any]:
    """What the server says to one command."""
    name, target = next(iter(words.items()))
    name = name.lower()
    if name in ("hello", "ismaster"):
        return HELLO
    if name in ("ping", "endsessions"):
        return {}
    if name == "listindexes":
        indexes = database[target].index_information()
        return cursor(target, [{"name": key, "key": dict(i["key"])} for key, i in indexes.items()])
    if name == "createindexes":
        for index in words["indexes"]:
            database[target].create_index(list(index["key"].items()), unique=index.get("unique"))
        return {}
    if name == "insert":
        return inserted(database[target], words["documents"])
    if name == "delete":
        return {
            "n": sum(database[target].delete_many(d["q"]).deleted_count for d in words["deletes"])
        }
    if name == "update":
        return updates(database[target], words["updates"])
    if name == "aggregate":
        return cursor(target, list(database[target].aggregate(words["pipeline"])))
    if name == "find":
        found = database[target].find(words.get("filter"), words.get("projection"))
        if words.get("sort"):
            found = found.sort(list(words["sort"].items()))
        return cursor(target, list(found.limit(abs(words.get("limit", 0)))))
    raise NotImplementedError(name)


def inserted(collection: Any, new: list[dict[str, Any]]) -> dict[str, Any]:
    """In order, up to the first whose key exists already."""
    for position, document in enumerate(new):
        try:
            collection.insert_one(document)
        except mongomock.DuplicateKeyError as error:
            refused = {"index": position, "code": 11000, "errmsg": str(error)}
            return {"n": position, "writeErrors": [refused]}
    return {"n": len(new)}


def updates(collection: Any, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each: the first match, replaced or changed, or a new document where none was."""
    matched, upserted = 0, []
    for position, entry in enumerate(entries):
        changes = all(key.startswith("$") for key in entry["u"])
        change = collection.update_one if changes else collection.replace_one
        one = change(entry["q"], entry["u"], upsert=entry.get("upsert", False))
        matched += one.matched_count
        if one.upserted_id is not None:
            upserted.append({"index": position, "_id": one.upserted_id})
    done = {"n": matched + len(upserted), "nModified": matched}
    return done | {"upserted": upserted} if upserted else done


def cursor(collection: str, batch: list[dict[str, Any]]) -> dict[str, Any]:
    """All in one batch."""
    return {"cursor": {"id": 0, "ns": f"zoo.{collection}", "firstBatch": batch}}


class Connection(socketserver.StreamRequestHandler):
    """Of one client."""

    server: "Server"

    def handle(self) -> None:
        """One message after another, each answered."""
        while header := self.rfile.read(HEADER.size):
            length, number, _, opcode = HEADER.unpack(header)
            content = self.rfile.read(length - HEADER.size)
            if opcode == QUERY:  # the handshake: flags, name of a collection, skip, count, document
                start = content.index(b"\0", 4) + 9
                said = struct.pack("<iqii", 8, 0, 0, 1) + self.said(documents(content[start:])[0])
                self.send(said, number, REPLY)
            else:
                said = struct.pack("<ib", 0, 0) + self.said(command(content))
                self.send(said, number, MESSAGE)

    def said(self, words: dict[str, Any]) -> bytes:
        """The answer as BSON."""
        with self.server.turn:
            try:
                found = answer(self.server.store[words.get("$db", "admin")], words)
                return bson.encode({**found, "ok": 1.0})
            except Exception as error:  # as a server would: the client raises it
                return bson.encode({"ok": 0.0, "errmsg": repr(error), "code": 59})

    def send(self, content: bytes, number: int, opcode: int) -> None:
        """A message that answers another."""
        self.wfile.write(HEADER.pack(HEADER.size + len(content), 0, number, opcode) + content)


class Server(socketserver.ThreadingTCPServer):
    """On a free port of this machine."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.store = mongomock.MongoClient()
        self.turn = threading.Lock()


@contextmanager
def running() -> Iterator[Server]:
    """Until the block ends; `store` has what clients wrote."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

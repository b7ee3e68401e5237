"""The contract of a recorded file: topics, schemas, and the stamp. What is said here must stay readable by later versions.

    topic               encoding, schema                      content
    /NODE/RECORD        protobuf, foxglove.CompressedImage    a picture as JPEG
                        protobuf, foxglove.CompressedVideo    a picture as a packet of H.264
                        protobuf, foxglove.RawImage           a picture as it is
                        protobuf, foxglove.RawAudio           sound, pcm-s16
                        protobuf, flowmesh.Array              an array: dtype, shape, order, codec, parameters, data
                        protobuf, flowmesh.Arrays             a list of such
                        json, flowmesh.Value                  {"value": ...}
                        msgpack                               {"value": ...}, or {"pickle": ..., "buffers": [...]}
    /NODE               json, flowmesh.Stamp                  the stamp: see Stamp
    /flowmesh/marks     protobuf, foxglove.Log                what the user marked
    /flowmesh/totals    json, flowmesh.Totals                 the totals so far, each 10 s

    log_time: when the chunk was created, by the Manager's clock. publish_time: by the clock of its host. Both in ns since
    the epoch. sequence: the chunk's number modulo 2^32.

A chunk is its records' messages and then its stamp, all with the same times and sequence. **A chunk without its stamp does
not exist.** A "/" in a record's name is written as "%2F" and "%" as "%25", so that a topic has two or three parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, NamedTuple

import msgspec

from ..errors import ChunkError, FlowmeshError

PROFILE = "flowmesh"
MARKS, TOTALS = "/flowmesh/marks", "/flowmesh/totals"
TOTALS_METADATA = "flowmesh.totals"
PROTOBUF, JSON, MSGPACK = "protobuf", "json", "msgpack"
EXTRA = (
    'recording needs more or newer libraries: pip install "mcap>=1.5" "mcap-protobuf-support>=0.5" '
    '"foxglove-schemas-protobuf>=0.4" "protobuf>=5.29.6"'
)

FORMS = ("jpeg", "h264", "raw", "audio", "array", "arrays", "json", "msgpack", "pickle")
_SCHEMAS = {
    "jpeg": "foxglove.CompressedImage",
    "h264": "foxglove.CompressedVideo",
    "raw": "foxglove.RawImage",
    "audio": "foxglove.RawAudio",
    "array": "flowmesh.Array",
    "arrays": "flowmesh.Arrays",
    "json": "flowmesh.Value",
    "msgpack": "",
    "pickle": "",
}


class StampRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """What a stamp says of one record.

    Attributes:
        name: of the record.
        type: its content type.
        form: which of FORMS it is written in.
        shape: of a picture or of sound.
        since_key: of H.264, how many packets ago the last key frame was; 0: it is one.
    """

    name: str
    type: str
    form: str
    shape: tuple[int, ...] = ()
    since_key: int = 0


class ChunkStamp(msgspec.Struct, omit_defaults=True, gc=False):
    """The last message of a chunk, on the topic /NODE.

    Attributes:
        n: the chunk's number on its output.
        trigger, emission, last, run, epoch: as in `flowmesh.chunk.Stamp`.
        origin: {source: (number, time in ns on the Manager's clock)}.
        offset_ns: log_time - publish_time: what makes the host's clock the Manager's.
        bound_ns: how wrong that can be, at most; 0 where it is not known or exact.
        records: in the order in which they were added.
    """

    n: int
    trigger: int = 0
    emission: int = 0
    last: bool = False
    run: int = 0
    epoch: int = 0
    origin: dict[str, tuple[int, int]] = {}
    offset_ns: int = 0
    bound_ns: int = 0
    records: list[StampRecord] = []


class ChannelKey(NamedTuple):
    """What a channel of the file is known by: one topic has several where its records change their form."""

    topic: str
    encoding: str
    schema: str


encode_stamp = msgspec.json.Encoder().encode
_decode_stamp = msgspec.json.Decoder(ChunkStamp).decode


def decode_stamp(data: bytes | memoryview) -> ChunkStamp:
    """The stamp in `data`.

    Raises:
        ChunkError: it is damaged.
    """
    try:
        stamp = _decode_stamp(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ChunkError(f"a stamp is damaged: {error}") from error
    if stamp.n < 1:
        raise ChunkError(f"a stamp is damaged: its chunk has the number {stamp.n}")
    return stamp


@lru_cache(4096)
def stamp_key(node: str) -> ChannelKey:
    """The channel of a node's stamps."""
    return ChannelKey(f"/{node}", JSON, "flowmesh.Stamp")


@lru_cache(4096)
def record_key(node: str, record: str, form: str) -> ChannelKey:
    """The channel of a record that is written in this form."""
    schema = _SCHEMAS[form]
    encoding = (
        PROTOBUF if schema.startswith("foxglove.") or form in ("array", "arrays") else JSON if schema else MSGPACK
    )
    return ChannelKey(f"/{node}/{record.replace('%', '%25').replace('/', '%2F')}", encoding, schema)


def parse_topic(topic: str) -> tuple[str, str | None]:
    """The node and the record of a topic; the record is None on the topic of stamps."""
    node, slash, record = topic.removeprefix("/").partition("/")
    return node, record.replace("%2F", "/").replace("%25", "%") if slash else None


# --- schemas in the file ---------------------------------------------------------------------------------------------

_JSON_SCHEMAS = {
    "flowmesh.Value": '{"title":"flowmesh.Value","type":"object","properties":{"value":{}},"required":["value"]}',
    "flowmesh.Totals": '{"title":"flowmesh.Totals","type":"object","properties":{"streams":{"type":"array"}}}',
}


def schema_content(key: ChannelKey) -> tuple[str, bytes]:
    """The encoding and the content of the channel's schema.

    Raises:
        FlowmeshError: the extra `record` is not installed.
    """
    if key.encoding == JSON:
        if key.schema == "flowmesh.Stamp":
            return "jsonschema", msgspec.json.encode(_stamp_schema())
        return "jsonschema", _JSON_SCHEMAS[key.schema].encode()
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    files: dict[str, Any] = {}
    _collect_files(message_class(key.schema).DESCRIPTOR.file, files)
    described = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(described.file.add())
    return PROTOBUF, described.SerializeToString()


def _stamp_schema() -> dict[str, Any]:
    [schema], components = msgspec.json.schema_components([ChunkStamp], ref_template="#/definitions/{name}")
    return {"title": "flowmesh.Stamp", **components.pop("ChunkStamp", schema), "definitions": components}


def _collect_files(file: Any, files: dict[str, Any]) -> None:
    """A file's dependencies come before it."""
    for dependency in file.dependencies:
        _collect_files(dependency, files)
    files.setdefault(file.name, file)


# --- protobuf --------------------------------------------------------------------------------------------------------


@cache
def message_class(name: str) -> Any:
    """The protobuf class of a schema: foxglove's, or ours. Never one that a file brings along.

    Raises:
        FlowmeshError: the extra `record` is not installed.
    """
    try:
        if name.startswith("foxglove."):
            short = name.removeprefix("foxglove.")
            return getattr(import_module(f"foxglove_schemas_protobuf.{short}_pb2"), short)
        return _own_classes()[name]
    except (ImportError, RuntimeError) as error:  # RuntimeError: protobuf is older than what the classes were made with
        raise FlowmeshError(f"{EXTRA} ({error})") from error


@cache
def _own_classes() -> dict[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="flowmesh/Array.proto",
        package="flowmesh",
        syntax="proto3",
        dependency=[timestamp_pb2.DESCRIPTOR.name],
    )

    def define(message: Any, fields: Sequence[tuple[str, int, bool]], types: dict[str, str]) -> None:
        for number, (name, kind, repeated) in enumerate(fields, 1):
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            field = message.field.add(name=name, number=number, type=kind, label=label)
            if name in types:
                field.type_name = types[name]

    stamped = {"timestamp": ".google.protobuf.Timestamp", "arrays": ".flowmesh.Array"}
    define(
        file.message_type.add(name="Array"),
        [
            ("timestamp", kinds.TYPE_MESSAGE, False),
            ("dtype", kinds.TYPE_STRING, False),  # numpy's, "<u2"
            ("shape", kinds.TYPE_UINT64, True),
            ("order", kinds.TYPE_UINT32, False),  # 0: C, 1: Fortran
            ("codec", kinds.TYPE_UINT32, False),  # 0: raw, 2: Blosc2, as between hosts
            ("parameters", kinds.TYPE_UINT64, True),
            ("data", kinds.TYPE_BYTES, False),
        ],
        stamped,
    )
    define(
        file.message_type.add(name="Arrays"),
        [("timestamp", kinds.TYPE_MESSAGE, False), ("arrays", kinds.TYPE_MESSAGE, True)],
        stamped,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(descriptor_pb2.FileDescriptorProto.FromString(timestamp_pb2.DESCRIPTOR.serialized_pb))
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        for name in ("flowmesh.Array", "flowmesh.Arrays")
    }


def build_message(name: str, time_ns: int, data: bytes | memoryview = b"", /, **fields: Any) -> bytes:
    """A message with its timestamp. `data` goes behind the other fields: protobuf's own object would copy it twice."""
    kind = message_class(name)
    message = kind(**fields)
    message.timestamp.seconds, message.timestamp.nanos = divmod(time_ns, 10**9)
    head = message.SerializeToString()
    if not len(data):
        return bytes(head)
    tag = kind.DESCRIPTOR.fields_by_name["data"].number << 3 | 2
    return b"".join((head, _varint(tag), _varint(len(data)), data))


def parse_message(name: str, data: bytes | memoryview) -> Any:
    """The message in `data`; protobuf takes memory only for what is there.

    Raises:
        ChunkError: it is damaged.
    """
    from google.protobuf.message import DecodeError

    try:
        return message_class(name).FromString(bytes(data))
    except (DecodeError, ValueError) as error:  # a text that is no UTF-8 is a ValueError
        raise ChunkError(f"a {name} is damaged: {error}") from error


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)

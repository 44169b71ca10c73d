"""Calls flintlockd with gRPC's C core by way of Python: a client by others.

It knows no message of ours: it asks the server's reflection for their
descriptions and builds the messages from those. One question a line comes as
JSON on standard input, one answer a line goes out; see grpcio.ts.
"""

import base64
import json
import sys
import threading
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

SERVICE = "microvm.services.api.v1alpha1.MicroVM"
DEADLINE = 60


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def fields(data):
    """The fields of a message without any description: tag and value."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        if tag & 7 == 2:
            value, at = data[at : at + value], at + value
        yield tag >> 3, value


def text_field(tag, text):
    return bytes([tag << 3 | 2, len(text)]) + text.encode()


class Client:
    def __init__(self, target, ca=None, cert=None, key=None, authorization=None, options=()):
        self.target = target
        self.options = [tuple(option) for option in options]
        self.metadata = [("authorization", authorization)] if authorization else []
        read = lambda path: path and open(path, "rb").read()
        self.tls = ca and grpc.ssl_channel_credentials(read(ca), read(key), read(cert))
        self.channel = self.connect()
        self.states = []
        self.channel.subscribe(lambda state: self.states.append(state.name), try_to_connect=False)
        self.pool = descriptor_pool.DescriptorPool()
        self.added = set()
        self.loaded = set()

    def connect(self):
        if self.tls:
            return grpc.secure_channel(self.target, self.tls, self.options)
        return grpc.insecure_channel(self.target, self.options)

    def reflect(self, version, request):
        """One question to the server's reflection: the tag and the bytes of its answer."""
        call = self.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
        (answer,) = call(iter([request]), timeout=DEADLINE, metadata=self.metadata)
        return [(tag, value) for tag, value in fields(answer) if tag >= 4][0]

    def services(self, version):
        tag, value = self.reflect(version, text_field(7, "*"))
        assert tag == 6, tag
        return [dict(fields(service))[1].decode() for _, service in fields(value)]

    def files(self, version, symbol):
        tag, value = self.reflect(version, text_field(4, symbol))
        if tag == 7:
            error = dict(fields(value))
            return {"code": error[1], "message": error[2].decode()}
        assert tag == 4, tag
        return [descriptor_pb2.FileDescriptorProto.FromString(file) for _, file in fields(value)]

    def add(self, files):
        """Imports come before what imports them, in whatever order the server has told them."""
        left = {file.name: file for file in files if file.name not in self.added}

        def add(name):
            file = left.pop(name, None)
            if file:
                for imported in file.dependency:
                    add(imported)
                self.pool.Add(file)
                self.added.add(name)

        for file in files:
            add(file.name)

    def method(self, name, service=SERVICE):
        if service not in self.loaded:
            self.add(self.files("v1alpha", service))
            self.loaded.add(service)
        return self.pool.FindServiceByName(service).methods_by_name[name]

    def call(self, method, bytes=None, spec=None, fresh=False, stream=False):
        described = self.method(method)
        factory = message_factory.MessageFactory(self.pool)
        Request, Response = map(factory.GetPrototype, (described.input_type, described.output_type))
        if bytes is None:
            request = json_format.ParseDict(spec or {}, Request())
        else:
            request = Request.FromString(base64.b64decode(bytes))
            known = Request.FromString(base64.b64decode(bytes))
            known.DiscardUnknownFields()
            # What was recorded is what the server describes: no tag of it is another's.
            assert known.ByteSize() == request.ByteSize(), "it has fields that the server does not describe"
        channel = self.connect() if fresh else self.channel
        kind = channel.unary_stream if stream else channel.unary_unary
        call = kind(f"/{SERVICE}/{method}", Request.SerializeToString, Response.FromString)
        begin = time.monotonic()
        answer = call(request, timeout=DEADLINE, metadata=self.metadata)
        answers = [to_json(one) for one in (answer if stream else [answer])]
        seconds = time.monotonic() - begin
        if fresh:
            channel.close()
        return {"answer": answers if stream else answers[0], "seconds": seconds, "request": to_json(request)}

    def converse(self, service, method, messages, then=()):
        """Both sides speak: `then` is said once something was answered. Our side ends behind it, and all that was answered comes back."""
        described = self.method(method, service)
        factory = message_factory.MessageFactory(self.pool)
        Request, Response = map(factory.GetPrototype, (described.input_type, described.output_type))
        answered = threading.Event()

        def requests():
            for one in messages:
                yield json_format.ParseDict(one, Request())
            if then:
                answered.wait(DEADLINE)
            for one in then:
                yield json_format.ParseDict(one, Request())

        call = self.channel.stream_stream(f"/{service}/{method}", Request.SerializeToString, Response.FromString)
        answers = []
        try:
            for one in call(requests(), timeout=DEADLINE, metadata=self.metadata):
                answers.append(to_json(one))
                answered.set()
        finally:
            answered.set()
        return {"answers": answers}

    def raw(self, path):
        self.channel.unary_unary(path)(b"", timeout=DEADLINE, metadata=self.metadata)
        return {}

    def idle(self, seconds):
        """Does nothing for a while but gRPC's own keepalive. What the connection went through meanwhile."""
        del self.states[:]
        time.sleep(seconds)
        return {"states": list(self.states)}

    def answer(self, question):
        do = question.pop("do")
        if do == "services":
            return {"services": self.services(question["version"])}
        if do == "describe":
            found = self.files(question["version"], question["symbol"])
            return found if isinstance(found, dict) else {"files": [file.name for file in found]}
        known = {"call": self.call, "converse": self.converse, "raw": self.raw, "idle": self.idle}
        return known[do](**question)


def to_json(message):
    """What is there, and nothing else: a field that was not sent is no key."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True, use_integers_for_enums=True)


def main():
    client = Client(**json.loads(sys.argv[1]))
    for line in sys.stdin:
        try:
            answer = client.answer(json.loads(line))
        except grpc.RpcError as error:
            answer = {"error": {"code": error.code().name, "details": error.details(), "text": str(error)}}
        except Exception as error:  # of this program: the test shows it
            answer = {"broken": repr(error)}
        print(json.dumps(answer), flush=True)


main()

"""LiveKit's server SDK for Python, for a test: one JSON command a line on standard input, one JSON
answer a line on standard output. Ends with its standard input.

It calls the RoomService, receives webhooks, and checks them.
"""

import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.json_format import MessageToDict, ParseDict
from livekit import api
from livekit.protocol import room as proto

# Each method's name in the SDK, and its request.
METHODS = {
    "CreateRoom": ("create_room", proto.CreateRoomRequest),
    "ListRooms": ("list_rooms", proto.ListRoomsRequest),
    "DeleteRoom": ("delete_room", proto.DeleteRoomRequest),
    "ListParticipants": ("list_participants", proto.ListParticipantsRequest),
    "GetParticipant": ("get_participant", proto.RoomParticipantIdentity),
    "RemoveParticipant": ("remove_participant", proto.RoomParticipantIdentity),
    "MutePublishedTrack": ("mute_published_track", proto.MuteRoomTrackRequest),
    "UpdateParticipant": ("update_participant", proto.UpdateParticipantRequest),
    "UpdateSubscriptions": ("update_subscriptions", proto.UpdateSubscriptionsRequest),
    "SendData": ("send_data", proto.SendDataRequest),
    "UpdateRoomMetadata": ("update_room_metadata", proto.UpdateRoomMetadataRequest),
    "ForwardParticipant": ("forward_participant", proto.ForwardParticipantRequest),
    "MoveParticipant": ("move_participant", proto.MoveParticipantRequest),
}


class Receiver:
    """A server for webhooks, which refuses the first ones."""

    def __init__(self, failures):
        self.failures = failures
        self.got = []
        self.lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status = receiver.take(self.headers, body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, headers, body):
        with self.lock:
            status = 200 if self.failures == 0 else 503
            self.failures = max(0, self.failures - 1)
            self.got.append(
                {
                    "authorization": headers["Authorization"],
                    "type": headers["Content-Type"],
                    "body": body,
                    "status": status,
                }
            )
        return status


class Sdk:
    def __init__(self):
        self.receiver = None
        self.api = None
        self.key = None

    async def connect(self, url, key, secret):
        if self.api:
            await self.api.aclose()
        self.key = (key, secret)
        self.api = api.LiveKitAPI(url, key, secret)

    async def call(self, method, request):
        if method == "PerformRpc":
            return MessageToDict(await self.perform_rpc(request))
        name, kind = METHODS[method]
        answer = await getattr(self.api.room, name)(ParseDict(request, kind()))
        return MessageToDict(answer) if answer is not None else {}

    async def perform_rpc(self, request):
        # This version of the SDK has no method of its own for it.
        service, grants = self.api.room, api.VideoGrants(room_admin=True, room=request["room"])
        message = ParseDict(request, proto.PerformRpcRequest())
        head = service._auth_header(grants)
        answer = proto.PerformRpcResponse
        return await service._client.request("RoomService", "PerformRpc", message, head, answer)

    async def receive(self, body, authorization):
        key, secret = self.key
        receiver = api.WebhookReceiver(api.TokenVerifier(key, secret))
        return MessageToDict(receiver.receive(body, authorization))

    async def listen(self, failures):
        self.receiver = Receiver(failures)
        return self.receiver.server.server_address[1]

    async def webhooks(self):
        with self.receiver.lock:
            return list(self.receiver.got)


async def main():
    sdk = Sdk()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        command = getattr(sdk, request.pop("command"))
        try:
            answer = {"value": await command(**request)}
        except api.ServerError as error:
            answer = {"error": f"{error.status} {error.code} {error.message}"}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    if sdk.api:
        await sdk.api.aclose()


asyncio.run(main())

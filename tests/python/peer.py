"""One participant in LiveKit's own headless client, for a test: one JSON command a line on standard
input, one JSON answer a line on standard output. Ends with its standard input.

It sends a clip again and again, and keeps what it receives.
"""

import asyncio
import base64
import json
import struct
import sys
import wave
import zlib

import numpy as np
from livekit import rtc
from livekit.rtc._proto.participant_pb2 import DisconnectReason
from livekit.rtc._proto.room_pb2 import SimulateScenarioKind

RATE = 48_000
# What is pushed at a time: a tenth of a second of a machine's hiccup is bridged by the queue.
BLOCK = RATE // 50
QUEUE_MS = 200
CELLS = 16


def read_y4m(path):
    """Width, height, frames a second, and the frames as I420."""
    with open(path, "rb") as file:
        head = file.readline().decode().split()
        width, height = (int(next(it for it in head if it[0] == name)[1:]) for name in "WH")
        rate = int(next(it for it in head if it[0] == "F")[1:].split(":")[0])
        frames = []
        while file.readline():
            frames.append(file.read(width * height * 3 // 2))
    return width, height, rate, frames


def counter_of(frame):
    """The frame counter of a mark, or None: see media.rs."""
    luma = np.frombuffer(frame.get_plane(0), np.uint8)
    # Planes may have longer rows than the picture.
    row = luma.reshape(frame.height, -1)[50 * frame.height // 360]
    cells = [row[int((cell + 0.5) * frame.width / CELLS)] > 128 for cell in range(CELLS)]
    if not cells[0] or cells[1] or cells[14] or not cells[15]:
        return None
    return sum(1 << (13 - bit) for bit in range(2, 14) if cells[bit])


def write_png(frame, file):
    rgba = frame.convert(rtc.VideoBufferType.RGBA)
    pixels = np.frombuffer(rgba.data, np.uint8).reshape(rgba.height, rgba.width, 4)[:, :, :3]
    # Each row begins with its filter's number: none.
    rows = np.concatenate([np.zeros((rgba.height, 1), np.uint8), pixels.reshape(rgba.height, -1)], 1)

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", rgba.width, rgba.height, 8, 2, 0, 0, 0)
    with open(file, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head))
        out.write(chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b""))


class Received:
    """What came of one participant."""

    def __init__(self):
        self.frame = None
        self.counters = []
        self.blocks = []


class Peer:
    def __init__(self):
        self.room = rtc.Room()
        self.received = {}
        self.messages = []
        self.texts = []
        self.events = []
        self.log = []
        self.reason = None
        self.tasks = {}

    def of(self, identity):
        return self.received.setdefault(identity, Received())

    # --- what comes

    def listen(self):
        room = self.room
        room.on("track_subscribed", lambda track, _, who: self.follow(track, who.identity))
        room.on("track_unsubscribed", lambda track, _, who: self.unfollow(track, who.identity))
        room.on("data_received", self.take_data)
        room.on("track_subscription_failed", lambda who, sid, why: self.log.append(f"{who} {sid} {why}"))
        for event in ("reconnecting", "reconnected", "participant_disconnected", "disconnected"):
            room.on(event, lambda *_, event=event: self.events.append(event))
        room.on("disconnected", self.note_reason)
        room.register_text_stream_handler("story", self.take_text)

    def follow(self, track, identity):
        video = track.kind == rtc.TrackKind.KIND_VIDEO
        self.log.append(f"subscribed to {'video' if video else 'audio'} of {identity}")
        reading = self.watch(track, identity) if video else self.hear(track, identity)
        self.tasks[track.sid] = asyncio.ensure_future(self.aloud(reading))

    async def aloud(self, work):
        """What goes wrong in a task would be noticed at its end only, if ever."""
        try:
            await work
        except Exception as error:
            self.log.append(f"{type(error).__name__}: {error}")
            raise

    def unfollow(self, track, identity):
        task = self.tasks.pop(track.sid, None)
        if task:
            task.cancel()
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            self.of(identity).frame = None

    async def watch(self, track, identity):
        # The newest frame alone: what waits would be shown too late.
        async for event in rtc.VideoStream(track, capacity=1, format=rtc.VideoBufferType.I420):
            received, counter = self.of(identity), counter_of(event.frame)
            if received.frame is None:
                self.log.append(f"{identity} shows {event.frame.width}x{event.frame.height}")
            received.frame = event.frame
            if counter is not None and received.counters[-1:] != [counter]:
                received.counters.append(counter)

    async def hear(self, track, identity):
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            self.of(identity).blocks.append(np.frombuffer(event.frame.data, np.int16).copy())

    def take_data(self, packet):
        kind = "reliable" if packet.kind == rtc.DataPacketKind.KIND_RELIABLE else "lossy"
        # The server's own messages are of nobody.
        sender = packet.participant.identity if packet.participant else None
        self.messages.append([sender, kind, packet.data.decode()])

    def note_reason(self, reason):
        self.reason = DisconnectReason.Name(reason)

    def take_text(self, reader, identity):
        async def read():
            self.texts.append([identity, await reader.read_all()])

        asyncio.ensure_future(read())

    # --- what goes

    async def send_tone(self, source, samples):
        at = 0
        while True:
            block = np.take(samples, range(at, at + BLOCK), mode="wrap")
            at = (at + BLOCK) % len(samples)
            await source.capture_frame(rtc.AudioFrame(block.tobytes(), RATE, 1, BLOCK))

    async def send_pictures(self, source, clip):
        width, height, rate, frames = clip
        loop = asyncio.get_running_loop()
        begin, number = loop.time(), 0
        while True:
            data = frames[number % len(frames)]
            source.capture_frame(rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, data))
            number += 1
            await asyncio.sleep(max(0.0, begin + number / rate - loop.time()))

    # --- commands

    async def join(self, url, token, wav, y4m, single_connection):
        self.listen()
        options = rtc.RoomOptions(
            single_peer_connection=single_connection, auto_subscribe=not single_connection
        )
        await self.room.connect(url, token, options)
        me = self.room.local_participant

        @me.register_rpc_method("greet")
        async def greet(call):
            return f"{me.identity} greets {call.caller_identity}: {call.payload}"

        with wave.open(wav, "rb") as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        clip = read_y4m(y4m)
        tone = rtc.AudioSource(RATE, 1, queue_size_ms=QUEUE_MS)
        picture = rtc.VideoSource(clip[0], clip[1])
        self.tasks["tone"] = asyncio.ensure_future(self.send_tone(tone, samples))
        self.tasks["picture"] = asyncio.ensure_future(self.send_pictures(picture, clip))
        await me.publish_track(
            rtc.LocalAudioTrack.create_audio_track("tone", tone),
            rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE),
        )
        video = rtc.LocalVideoTrack.create_video_track("picture", picture)
        camera = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA)
        await me.publish_track(video, camera)
        if single_connection:
            await self.negotiated(video)
            self.subscribe_to_all()
        return me.identity

    async def negotiated(self, track):
        """Waits until the server has taken a track: its codec is known from then on.

        With one connection this client (1.2.1) loses others' pictures before that, now and then: to
        send one it changes the formats of all its sections (x-google-start-bitrate), for which
        libwebrtc makes receivers anew; one to which a packet comes at that moment has no sink any
        more ("Creating default receive stream", "already exists", "SetSink: nullptr").
        """
        while True:
            stats = [it.outbound_rtp for it in await track.get_stats() if it.HasField("outbound_rtp")]
            if stats and all(it.stream.codec_id for it in stats):
                return
            await asyncio.sleep(0.02)

    def subscribe_to_all(self):
        self.room.on("track_published", lambda publication, _: publication.set_subscribed(True))
        for who in self.room.remote_participants.values():
            for publication in who.track_publications.values():
                publication.set_subscribed(True)

    async def leave(self):
        await self.room.disconnect()

    async def publish_data(self, text, reliable):
        await self.room.local_participant.publish_data(text, reliable=reliable)

    async def send_text(self, text):
        await self.room.local_participant.send_text(text, topic="story")

    async def perform_rpc(self, to, payload):
        return await self.room.local_participant.perform_rpc(
            destination_identity=to, method="greet", payload=payload
        )

    async def simulate(self, scenario):
        await self.room.simulate_scenario(SimulateScenarioKind.Value(scenario))

    async def heard_of(self):
        """Messages, texts and events so far, and why it is out."""
        return {
            "messages": self.messages,
            "texts": self.texts,
            "events": self.events,
            "log": self.log,
            "reason": self.reason,
        }

    async def participants(self):
        return sorted(self.room.remote_participants)

    async def about(self, identity):
        """What it knows of another participant."""
        who = self.room.remote_participants[identity]
        tracks = who.track_publications.values()
        sources = {rtc.TrackSource.Name(it.source): it.muted for it in tracks}
        return {
            "name": who.name,
            "metadata": who.metadata,
            "attributes": dict(who.attributes),
            "muted": sources,
        }

    async def room_metadata(self):
        return self.room.metadata

    async def sees(self, identity):
        return self.of(identity).frame is not None

    async def counters(self, identity, seconds):
        received = self.of(identity)
        received.counters.clear()
        await asyncio.sleep(seconds)
        return received.counters

    async def picture(self, identity, file):
        frame = self.of(identity).frame
        if frame is None:
            raise ValueError(f"no picture of {identity}")
        write_png(frame, file)

    async def record(self, identity, seconds):
        """What one participant sounds like, or all together."""
        heard = [self.of(identity)] if identity else list(self.received.values())
        for received in heard:
            received.blocks.clear()
        await asyncio.sleep(seconds)
        parts = [np.concatenate([np.zeros(0, np.int16), *it.blocks]) for it in heard]
        mix = np.zeros(max(map(len, parts), default=0), np.int32)
        for part in parts:
            mix[: len(part)] += part
        samples = np.clip(mix, -32768, 32767).astype("<i2")
        return base64.b64encode(samples.tobytes()).decode()

    async def stats(self):
        stats = await self.room.get_rtc_stats()
        streams = {}
        for report in list(stats.publisher_stats) + list(stats.subscriber_stats):
            if report.WhichOneof("stats") != "inbound_rtp":
                continue
            rtp = report.inbound_rtp
            self.log.append(
                f"{rtp.stream.kind} {rtp.stream.ssrc} on {rtp.inbound.mid}: "
                f"{rtp.inbound.frames_decoded} frames decoded, {rtp.inbound.frames_dropped} dropped, "
                f"{rtp.inbound.frame_width}x{rtp.inbound.frame_height}"
            )
            streams[rtp.stream.ssrc] = {
                "kind": rtp.stream.kind,
                "packetsReceived": rtp.received.packets_received,
                "packetsLost": rtp.received.packets_lost,
                "framesDecoded": rtp.inbound.frames_decoded,
            }
        return list(streams.values())


async def main():
    peer = Peer()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        command = getattr(peer, request.pop("command"))
        try:
            answer = {"value": await command(**request)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


asyncio.run(main())

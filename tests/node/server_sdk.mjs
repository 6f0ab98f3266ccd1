// LiveKit's server SDK for Node.js, for a test: one JSON command a line on standard input, one JSON
// answer a line on standard output. Ends with its standard input. It calls the RoomService and
// checks webhooks.

import { createInterface } from 'node:readline';
import {
  AccessToken,
  DataPacket_Kind,
  RoomServiceClient,
  ServerError,
  WebhookReceiver,
} from 'livekit-server-sdk';

const methods = {
  CreateRoom: (rooms, it) => rooms.createRoom(it),
  ListRooms: async (rooms, it) => ({ rooms: plain(await rooms.listRooms(it.names)) }),
  DeleteRoom: (rooms, it) => rooms.deleteRoom(it.room),
  ListParticipants: async (rooms, it) => ({
    participants: plain(await rooms.listParticipants(it.room)),
  }),
  GetParticipant: (rooms, it) => rooms.getParticipant(it.room, it.identity),
  RemoveParticipant: (rooms, it) => rooms.removeParticipant(it.room, it.identity),
  MutePublishedTrack: async (rooms, it) => ({
    track: plain(await rooms.mutePublishedTrack(it.room, it.identity, it.trackSid, it.muted)),
  }),
  UpdateParticipant: (rooms, it) => rooms.updateParticipant(it.room, it.identity, it),
  UpdateSubscriptions: (rooms, it) =>
    rooms.updateSubscriptions(it.room, it.identity, it.trackSids, it.subscribe),
  SendData: (rooms, it) =>
    rooms.sendData(it.room, Buffer.from(it.data, 'base64'), DataPacket_Kind[it.kind], {
      destinationIdentities: it.destinationIdentities,
      topic: it.topic,
    }),
  UpdateRoomMetadata: (rooms, it) => rooms.updateRoomMetadata(it.room, it.metadata),
  ForwardParticipant: (rooms, it) =>
    rooms.forwardParticipant(it.room, it.identity, it.destinationRoom),
  MoveParticipant: (rooms, it) => rooms.moveParticipant(it.room, it.identity, it.destinationRoom),
  PerformRpc: performRpc,
};

let server;
let rooms;

// This version of the SDK has no method of its own for it.
async function performRpc(_, request) {
  const token = new AccessToken(server.key, server.secret);
  token.addGrant({ roomAdmin: true, room: request.room });
  const answer = await fetch(`${server.url}/twirp/livekit.RoomService/PerformRpc`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      Authorization: `Bearer ${await token.toJwt()}`,
    },
    body: JSON.stringify(request),
  });
  const body = await answer.json();
  if (!answer.ok) throw new ServerError('', body.msg, answer.status, body.code);
  return body;
}

function plain(message) {
  if (Array.isArray(message)) return message.map(plain);
  return message?.toJson ? message.toJson() : (message ?? {});
}

const commands = {
  connect(it) {
    server = it;
    rooms = new RoomServiceClient(it.url, it.key, it.secret);
    return null;
  },
  async call({ method, request }) {
    return plain(await methods[method](rooms, request));
  },
  async receive({ body, authorization }) {
    const receiver = new WebhookReceiver(server.key, server.secret);
    return plain(await receiver.receive(body, authorization));
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...request } = JSON.parse(line);
  let answer;
  try {
    answer = { value: await commands[command](request) };
  } catch (error) {
    const refused = error instanceof ServerError;
    const text = refused ? `${error.status} ${error.code} ${error.message}` : `${error}`;
    answer = { error: text };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

import { type LocalParticipant, LocalVideoTrack, type Room, RoomEvent, Track } from 'livekit-client';

import { type PublishedCodec, cameraCodec, encodableVideo, readsH264 } from '../lib/codec';
import { isRoomSystem } from './participantState';

// How long two tracks of one camera are sent side by side: others subscribe to the new one and get
// its first key frame meanwhile, so that nobody's picture of this person ever stands still.
const OVERLAP_MS = 3000;

const CHANGES = [RoomEvent.ParticipantConnected, RoomEvent.ParticipantAttributesChanged, RoomEvent.Reconnected] as const;

/**
 * This person's camera. What turns it on and off also chooses its codec, because a change of the
 * codec is a new publication, which must not undo what the person wants at the same moment.
 */
export class Camera {
  readonly #room: Room;
  #codec: PublishedCodec | undefined;
  // A browser that failed to publish H.264 is not asked again.
  #refusesH264 = false;
  #successor: LocalVideoTrack | undefined;
  #change: Promise<void> = Promise.resolve();

  constructor(room: Room) {
    this.#room = room;
  }

  async turn(on: boolean): Promise<void> {
    if (!on) {
      // Off is off at once, whatever is under way. One that is not published yet has nobody to
      // tell: it becomes black, and is muted when it is published.
      const successor = this.#successor;
      if (successor !== undefined) successor.mediaStreamTrack.enabled = false;
      await Promise.all([this.#me.setCameraEnabled(false), successor?.sid === undefined ? undefined : successor.mute()]);
      return;
    }
    await this.#change;
    const track = this.#published();
    const codec = this.#wanted();
    // Nobody sees a muted track: it gives way to one with another codec without further ado.
    if (track?.isMuted === true && codec !== this.#codec) await this.#me.unpublishTrack(track);
    if (this.#published() === undefined) this.#codec = codec;
    await this.#me.setCameraEnabled(true, undefined, { videoCodec: codec });
    this.#follow(); // a room system may have come in meanwhile
  }

  /** Keeps the codec in line with who is in the meeting, until the returned function is called. */
  followMeeting(): () => void {
    const follow = () => { this.#follow(); };
    for (const event of CHANGES) this.#room.on(event, follow);
    return () => {
      for (const event of CHANGES) this.#room.off(event, follow);
    };
  }

  get #me(): LocalParticipant {
    return this.#room.localParticipant;
  }

  #published(): LocalVideoTrack | undefined {
    return this.#me.getTrackPublication(Track.Source.Camera)?.videoTrack as LocalVideoTrack | undefined;
  }

  #wanted(): PublishedCodec {
    const others = [...this.#room.remoteParticipants.values()];
    const allRead = others.every(({ attributes }) => readsH264(attributes));
    return cameraCodec(this.#codec, others.some(isRoomSystem), allRead, this.#refusesH264 ? [] : encodableVideo());
  }

  #follow(): void {
    this.#change = this.#change.then(async () => {
      const track = this.#published();
      const codec = this.#wanted();
      // A muted one changes when it is turned on.
      if (track === undefined || track.isMuted || codec === this.#codec) return;
      await this.#republish(track, codec);
    });
  }

  /** Publishes the same picture in another codec beside `track`, which leaves when others have it. */
  async #republish(track: LocalVideoTrack, codec: PublishedCodec): Promise<void> {
    const successor = new LocalVideoTrack(track.mediaStreamTrack.clone(), track.constraints, false);
    successor.source = Track.Source.Camera;
    this.#successor = successor;
    try {
      await this.#me.publishTrack(successor, { videoCodec: codec });
    } catch {
      // What fails in VP8 is the connection, which asks anew when it is back.
      if (codec === 'h264') this.#refusesH264 = true;
      this.#successor = undefined;
      successor.stop();
      return;
    }
    this.#codec = codec;
    if (!track.isMuted) await new Promise((over) => { setTimeout(over, OVERLAP_MS); });
    // The person or a host muted the old one, the only one that all knew.
    if (track.isMuted) await successor.mute();
    this.#successor = undefined;
    // What fails here is the connection, and a new one comes up without the old track.
    await this.#me.unpublishTrack(track).catch(() => undefined);
  }
}

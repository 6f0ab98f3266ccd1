import { ExternalE2EEKeyProvider, Room, RoomEvent, type RoomOptions, VideoPresets } from 'livekit-client';
import EncryptionWorker from 'livekit-client/e2ee-worker?worker';
import { useEffect, useEffectEvent, useState } from 'react';

import { type Admission, signallingUrl } from '../lib/api';
import { LACKS_H264, decodesH264 } from '../lib/codec';
import { type Ending, endingOf, failureOf } from '../lib/ending';
import type { DeviceWishes } from '../lib/wishes';

declare global {
  interface Window {
    /**
     * The live room, for support: whoever helps a user asks them to read statistics out of it in
     * the browser's console. It holds nothing that the page's own scripts could not reach anyway.
     */
    plenum?: { room: Room };
  }
}

const device = (id: string) => (id === '' ? {} : { deviceId: id });

function options(wishes: DeviceWishes): RoomOptions {
  return {
    adaptiveStream: true,
    dynacast: true,
    // DTX and RED are livekit-client's defaults; the camera's codec is chosen when it is published.
    publishDefaults: { simulcast: true, videoCodec: 'vp8' },
    videoCaptureDefaults: { ...device(wishes.cameraId), resolution: VideoPresets.h720.resolution },
    audioCaptureDefaults: device(wishes.microphoneId),
    ...(wishes.speakerId === '' ? {} : { audioOutput: { deviceId: wishes.speakerId } }),
  };
}

/**
 * The connected room, or undefined while it connects. Ends with exactly one call of `onEnd`.
 * With a phrase all that it sends is encrypted by it, data as well.
 */
export function useRoom(
  admission: Admission,
  wishes: DeviceWishes,
  phrase: string | undefined,
  onEnd: (ending: Ending) => void,
): Room | undefined {
  const [connected, setConnected] = useState<Room>();
  const end = useEffectEvent(onEnd);
  useEffect(() => {
    const encryption =
      phrase === undefined ? undefined : { keyProvider: new ExternalE2EEKeyProvider(), worker: new EncryptionWorker() };
    const room = new Room({ ...options(wishes), encryption });
    let over = false;
    // A connection that does not come about ends as well, but only its own error says why.
    let joined = false;
    const finish = (ending: Ending) => {
      if (over) return;
      over = true;
      end(ending);
    };
    window.plenum = { room };
    room.on(RoomEvent.Disconnected, (reason) => { if (joined) finish(endingOf(reason)); });
    // Without its worker, which did not load, nothing would be sent or seen.
    encryption?.worker.addEventListener('error', () => { finish('unreachable'); });
    const connect = async () => {
      if (phrase !== undefined && encryption !== undefined) {
        // First of all, so that nothing is ever published in the clear.
        await encryption.keyProvider.setKey(phrase);
        await room.setE2EEEnabled(true);
      }
      if (!over) await room.connect(signallingUrl(location), admission.token);
    };
    connect().then(
      () => {
        joined = true;
        if (over) return;
        // Who may not say so is taken for one that can.
        if (!decodesH264()) room.localParticipant.setAttributes(LACKS_H264).catch(() => undefined);
        setConnected(room);
      },
      (error: unknown) => { finish(failureOf(error)); },
    );
    return () => {
      over = true;
      delete window.plenum;
      void room.disconnect();
      encryption?.worker.terminate();
    };
  }, [admission, wishes, phrase]);
  return connected;
}

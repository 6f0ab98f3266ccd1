import type { Room } from 'livekit-client';
import { useMemo } from 'react';
import { useTranslation } from 'react-i18next';

import { cameraCodec, encodableVideo } from '../lib/codec';
import { deviceProblem } from '../lib/deviceProblem';
import { isRoomSystem } from './participantState';

export interface Actions {
  microphone: (on: boolean) => Promise<void>;
  camera: (on: boolean) => Promise<void>;
  share: (on: boolean) => Promise<void>;
  leave: () => void;
}

/** What the buttons, the shortcuts and the start of a meeting do alike. `report` shows a failure. */
export function useActions(room: Room, report: (text: string) => void): Actions {
  const { t } = useTranslation();
  return useMemo(() => {
    const me = room.localParticipant;
    return {
      microphone: async (on) => {
        try {
          await me.setMicrophoneEnabled(on);
        } catch (error) {
          report(t(`device.microphone${deviceProblem(error)}`));
        }
      },
      camera: async (on) => {
        const roomSystem = [...room.remoteParticipants.values()].some(isRoomSystem);
        try {
          // The codec counts at the first publication only; later calls mute and unmute.
          await me.setCameraEnabled(on, undefined, { videoCodec: cameraCodec(roomSystem, encodableVideo()) });
        } catch (error) {
          report(t(`device.camera${deviceProblem(error)}`));
        }
      },
      share: async (on) => {
        try {
          await me.setScreenShareEnabled(on, { audio: true, contentHint: 'detail' });
        } catch (error) {
          // NotAllowed is what the browser says when its dialog is cancelled: no failure.
          if (deviceProblem(error) !== 'Denied') report(t('device.screenFailed'));
        }
      },
      leave: () => void room.disconnect(),
    };
  }, [room, report, t]);
}

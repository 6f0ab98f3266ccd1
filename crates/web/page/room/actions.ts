import { DeviceUnsupportedError, LivekitError, type Room } from 'livekit-client';
import { useEffect, useMemo } from 'react';
import { useTranslation } from 'react-i18next';

import { deviceProblem } from '../lib/deviceProblem';
import { Camera } from './camera';

export interface Actions {
  microphone: (on: boolean) => Promise<void>;
  camera: (on: boolean) => Promise<void>;
  share: (on: boolean) => Promise<void>;
  leave: () => void;
}

/** What the buttons, the shortcuts and the start of a meeting do alike. `report` shows a failure. */
export function useActions(room: Room, report: (text: string) => void): Actions {
  const { t } = useTranslation();
  const camera = useMemo(() => new Camera(room), [room]);
  useEffect(() => camera.followMeeting(), [camera]);
  return useMemo(() => {
    const me = room.localParticipant;
    const fail = (device: 'camera' | 'microphone', error: unknown) => {
      // The client's own errors are of the connection, but for the one about an insecure page.
      const sending = error instanceof LivekitError && !(error instanceof DeviceUnsupportedError);
      report(t(sending ? 'room.publishFailed' : `device.${device}${deviceProblem(error)}`));
    };
    return {
      microphone: async (on) => {
        try {
          await me.setMicrophoneEnabled(on);
        } catch (error) {
          fail('microphone', error);
        }
      },
      camera: async (on) => {
        try {
          await camera.turn(on);
        } catch (error) {
          fail('camera', error);
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
  }, [room, camera, report, t]);
}

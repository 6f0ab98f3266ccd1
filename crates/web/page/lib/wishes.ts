import { recall, remember } from './storage';

/** What somebody chose before joining; an empty id is the system's default. */
export interface DeviceWishes {
  camera: boolean;
  microphone: boolean;
  cameraId: string;
  microphoneId: string;
  speakerId: string;
}

export function recalledWishes(): DeviceWishes {
  return {
    camera: recall('camera') !== 'off',
    microphone: recall('microphone') !== 'off',
    cameraId: recall('cameraId'),
    microphoneId: recall('microphoneId'),
    speakerId: recall('speakerId'),
  };
}

export function rememberWishes(wishes: DeviceWishes): void {
  remember('camera', wishes.camera ? 'on' : 'off');
  remember('microphone', wishes.microphone ? 'on' : 'off');
  remember('cameraId', wishes.cameraId);
  remember('microphoneId', wishes.microphoneId);
  remember('speakerId', wishes.speakerId);
}

import type { TFunction } from 'i18next';

import type { Choice } from '../ui/controls';

const UNNAMED = {
  audioinput: 'device.unnamedMicrophone',
  videoinput: 'device.unnamedCamera',
  audiooutput: 'device.unnamedSpeaker',
} as const;

/** The devices of one kind, each with a name: browsers hide names until permission is given. */
export function deviceChoices(devices: readonly MediaDeviceInfo[], kind: MediaDeviceKind, t: TFunction): Choice[] {
  return devices
    .filter((device) => device.kind === kind)
    .map((device, index) => ({
      id: device.deviceId,
      label: device.label === '' ? t(UNNAMED[kind], { n: index + 1 }) : device.label,
    }));
}

/** Only some browsers let a page choose where sound goes. */
export function canChooseSpeaker(): boolean {
  return 'setSinkId' in HTMLMediaElement.prototype;
}

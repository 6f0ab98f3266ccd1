import { useEffect, useState } from 'react';

import { type DeviceProblem, deviceProblem } from '../lib/deviceProblem';

export interface LocalDevice {
  stream: MediaStream | undefined;
  problem: DeviceProblem | undefined;
}

const NOTHING: LocalDevice = { stream: undefined, problem: undefined };

/**
 * One camera or microphone while it is wanted. Each kind is asked for alone, so that a missing
 * camera does not take the microphone with it.
 */
export function useLocalDevice(kind: 'audio' | 'video', wanted: boolean, deviceId: string): LocalDevice {
  const [device, setDevice] = useState<LocalDevice>(NOTHING);
  useEffect(() => {
    if (!wanted) return;
    let cancelled = false;
    let opened: MediaStream | undefined;
    const open = async () => {
      try {
        const stream = await navigator.mediaDevices.getUserMedia({ [kind]: constraints(kind, deviceId) });
        if (cancelled) {
          stop(stream);
          return;
        }
        opened = stream;
        setDevice({ stream, problem: undefined });
      } catch (error) {
        if (!cancelled) setDevice({ stream: undefined, problem: deviceProblem(error) });
      }
    };
    void open();
    return () => {
      cancelled = true;
      stop(opened);
      setDevice(NOTHING);
    };
  }, [kind, wanted, deviceId]);
  return device;
}

function constraints(kind: 'audio' | 'video', deviceId: string): MediaTrackConstraints {
  // `ideal`: a remembered device that is gone must not keep another one from working.
  const id = deviceId === '' ? {} : { deviceId: { ideal: deviceId } };
  return kind === 'video' ? { ...id, width: { ideal: 1280 }, height: { ideal: 720 } } : id;
}

function stop(stream: MediaStream | undefined): void {
  stream?.getTracks().forEach((track) => {
    track.stop();
  });
}

/** All devices, read again when one is plugged in and when `trigger` changes (names come with the permission). */
export function useDeviceList(trigger: unknown): MediaDeviceInfo[] {
  const [devices, setDevices] = useState<MediaDeviceInfo[]>([]);
  useEffect(() => {
    // Absent outside of a secure context, whatever the type says.
    const media = navigator.mediaDevices as MediaDevices | undefined;
    if (media === undefined) return;
    let cancelled = false;
    const read = () => {
      void media.enumerateDevices().then((list) => {
        if (!cancelled) setDevices(list.filter((device) => device.deviceId !== ''));
      });
    };
    read();
    media.addEventListener('devicechange', read);
    return () => {
      cancelled = true;
      media.removeEventListener('devicechange', read);
    };
  }, [trigger]);
  return devices;
}

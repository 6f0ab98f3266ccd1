import { useCallback, useEffect, useState } from 'react';

import { type DeviceProblem, deviceProblem } from '../lib/deviceProblem';

export interface LocalDevice {
  stream: MediaStream | undefined;
  problem: DeviceProblem | undefined;
  /** Asks the browser once more. */
  retry: () => void;
}

const NOTHING: Omit<LocalDevice, 'retry'> = { stream: undefined, problem: undefined };

/**
 * One camera or microphone while it is wanted. Each kind is asked for alone, so that a missing
 * camera does not take the microphone with it. After a failure it is asked for again when the person
 * allows it or plugs one in.
 */
export function useLocalDevice(kind: 'audio' | 'video', wanted: boolean, deviceId: string): LocalDevice {
  const [device, setDevice] = useState(NOTHING);
  const [attempt, setAttempt] = useState(0);
  const retry = useCallback(() => { setAttempt((before) => before + 1); }, []);
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
  }, [kind, wanted, deviceId, attempt]);
  const failed = device.problem !== undefined;
  useEffect(() => (failed ? onBetterLuck(kind, retry) : undefined), [failed, kind, retry]);
  return { ...device, retry };
}

/** Calls `retry` when a permission or a device comes; the returned function ends that. */
function onBetterLuck(kind: 'audio' | 'video', retry: () => void): () => void {
  // Absent outside of a secure context, whatever the type says.
  const media = navigator.mediaDevices as MediaDevices | undefined;
  const ended = new AbortController();
  const { signal } = ended;
  media?.addEventListener('devicechange', retry, { signal });
  navigator.permissions
    .query({ name: kind === 'video' ? 'camera' : 'microphone' })
    .then((permission) => {
      permission.addEventListener('change', () => { if (permission.state === 'granted') retry(); }, { signal });
    })
    .catch(() => undefined); // not every browser tells; the button asks again
  return () => { ended.abort(); };
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

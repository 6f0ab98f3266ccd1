import { type LocalAudioTrack, type LocalVideoTrack, TrackEvent } from 'livekit-client';
import { useCallback, useEffect, useRef, useState } from 'react';

import { type DeviceProblem, deviceProblem } from './deviceProblem';

const NO_DEVICES: MediaDeviceInfo[] = [];

/**
 * The devices of a kind that have an id. Their names come only after the browser has allowed
 * their use: `refresh` is anything that changes when that may have happened.
 */
export function useDevices(kind: MediaDeviceKind, refresh: unknown): MediaDeviceInfo[] {
  const [devices, setDevices] = useState(NO_DEVICES);
  useEffect(() => {
    // Without a secure context there is no mediaDevices, whatever the types say.
    const source = navigator.mediaDevices as MediaDevices | undefined;
    if (source === undefined) return;
    let over = false;
    const read = () => {
      source
        .enumerateDevices()
        .then((all) => {
          if (!over) setDevices(all.filter((one) => one.kind === kind && one.deviceId !== ''));
        })
        .catch(() => undefined); // the menu stays as it was
    };
    read();
    source.addEventListener('devicechange', read);
    return () => {
      over = true;
      source.removeEventListener('devicechange', read);
    };
  }, [kind, refresh]);
  return devices;
}

export interface Preview<T> {
  track: T | undefined;
  problem: DeviceProblem | undefined;
  /** Asks the browser once more, after a problem. */
  retry: () => void;
  /** The track for the meeting: from now on the preview does not stop it. */
  take: () => Promise<T | undefined>;
}

/** Opens a device while it is `wanted`. `open` must be the same function on each render. */
export function usePreview<T extends LocalAudioTrack | LocalVideoTrack>(
  open: (deviceId: string) => Promise<T>,
  wanted: boolean,
  deviceId: string,
): Preview<T> {
  const [state, setState] = useState<{ track?: T; problem?: DeviceProblem }>({});
  const opening = useRef<Promise<T | undefined>>(Promise.resolve(undefined));
  const taken = useRef(false);
  const [attempt, setAttempt] = useState(0);

  useEffect(() => {
    if (!wanted) return;
    let over = false;
    let opened: T | undefined;
    const fail = (problem: DeviceProblem) => {
      if (!over) setState({ problem });
    };
    const ended = () => {
      fail('Missing');
    };
    opening.current = open(deviceId).then(
      (track) => {
        if (over && !taken.current) {
          track.stop();
          return undefined;
        }
        opened = track;
        track.on(TrackEvent.Ended, ended);
        if (!over) setState({ track });
        return track;
      },
      (error: unknown) => {
        fail(deviceProblem(error));
        return undefined;
      },
    );
    return () => {
      over = true;
      opened?.off(TrackEvent.Ended, ended);
      if (taken.current) return;
      opened?.stop();
      opening.current = Promise.resolve(undefined);
      setState({});
    };
  }, [open, wanted, deviceId, attempt]);

  const take = useCallback(() => {
    taken.current = true;
    return opening.current;
  }, []);
  const retry = useCallback(() => {
    setAttempt((before) => before + 1);
  }, []);
  return { track: state.track, problem: state.problem, retry, take };
}

import { ConnectionQuality, type Participant, ParticipantEvent, ParticipantKind, Track, type TrackPublication } from 'livekit-client';
import { useCallback, useSyncExternalStore } from 'react';

import { type CallStatus, pendingCall } from '../lib/callStatus';
import { CAMERA, HAND, ROLE } from '../lib/control';

const TRACKS = [
  ParticipantEvent.TrackMuted,
  ParticipantEvent.TrackUnmuted,
  ParticipantEvent.TrackPublished,
  ParticipantEvent.TrackUnpublished,
  ParticipantEvent.LocalTrackPublished,
  ParticipantEvent.LocalTrackUnpublished,
] as const;
const NAME = [ParticipantEvent.ParticipantNameChanged] as const;
const SPEAKING = [ParticipantEvent.IsSpeakingChanged] as const;
const QUALITY = [ParticipantEvent.ConnectionQualityChanged] as const;
const PERMISSIONS = [ParticipantEvent.ParticipantPermissionsChanged] as const;
const STREAMS = [...TRACKS, ParticipantEvent.TrackStreamStateChanged] as const;
const ATTRIBUTES = [ParticipantEvent.AttributesChanged] as const;

/**
 * One primitive value of a participant. A component renders again only when that value changes,
 * not at each of the room's many events.
 */
function useValue<T extends string | boolean | undefined>(
  participant: Participant,
  events: readonly Parameters<Participant["on"]>[0][],
  read: (participant: Participant) => T,
): T {
  const subscribe = useCallback(
    (changed: () => void) => {
      for (const event of events) participant.on(event, changed);
      return () => {
        for (const event of events) participant.off(event, changed);
      };
    },
    [participant, events],
  );
  return useSyncExternalStore(subscribe, () => read(participant));
}

export const displayName = (participant: Participant): string =>
  participant.name !== undefined && participant.name !== '' ? participant.name : participant.identity;
const microphoneOn = (participant: Participant): boolean => participant.isMicrophoneEnabled;
const cameraOn = (participant: Participant): boolean => participant.isCameraEnabled;
const cameraSids = (participant: Participant): string =>
  cameras(participant).map((publication) => publication.trackSid).join(' ');
const held = (source: Track.Source) => (participant: Participant): boolean =>
  participant.getTrackPublication(source)?.track?.streamState === Track.StreamState.Paused;
const cameraHeld = held(Track.Source.Camera);
const screenHeld = held(Track.Source.ScreenShare);
const sharing = (participant: Participant): boolean => participant.isScreenShareEnabled;
const speaking = (participant: Participant): boolean => participant.isSpeaking;
const quality = (participant: Participant): ConnectionQuality => participant.connectionQuality;
const call = (participant: Participant): CallStatus | undefined =>
  isRoomSystem(participant) ? pendingCall(participant.attributes) : undefined;

const cameras = (participant: Participant): TrackPublication[] =>
  participant.getTrackPublications().filter(({ source }) => source === Track.Source.Camera);

export const isRoomSystem = (participant: Participant): boolean => participant.kind === ParticipantKind.SIP;

const mayPublish = (participant: Participant): boolean => participant.permissions?.canPublish ?? true;
const role = (participant: Participant): string => participant.attributes[ROLE] ?? 'presenter';

export const handRaised = (participant: Participant): boolean => participant.attributes[HAND] === 'true';

export const useName = (participant: Participant) => useValue(participant, NAME, displayName);
export const useMicrophoneOn = (participant: Participant) => useValue(participant, TRACKS, microphoneOn);
export const useCameraOn = (participant: Participant) => useValue(participant, TRACKS, cameraOn);
/** The camera's tracks, the oldest first: two while its codec changes. */
export const useCameras = (participant: Participant): TrackPublication[] => {
  useValue(participant, TRACKS, cameraSids);
  return cameras(participant);
};
/** The server holds the picture back: it does not fit into our bandwidth. */
export const useCameraHeld = (participant: Participant) => useValue(participant, STREAMS, cameraHeld);
export const useScreenHeld = (participant: Participant) => useValue(participant, STREAMS, screenHeld);
export const useSharing = (participant: Participant) => useValue(participant, TRACKS, sharing);
export const useSpeaking = (participant: Participant) => useValue(participant, SPEAKING, speaking);
export const useQuality = (participant: Participant) => useValue(participant, QUALITY, quality);
export const useMayPublish = (participant: Participant) => useValue(participant, PERMISSIONS, mayPublish);
export const useRole = (participant: Participant) => useValue(participant, ATTRIBUTES, role);
const cameraSteered = (participant: Participant): boolean => participant.attributes[CAMERA] === 'true';
/** Hosts may steer its camera. */
export const useCameraSteered = (participant: Participant) => useValue(participant, ATTRIBUTES, cameraSteered);
export const useHandRaised = (participant: Participant) => useValue(participant, ATTRIBUTES, handRaised);
export const usePendingCall = (participant: Participant) => useValue(participant, ATTRIBUTES, call);

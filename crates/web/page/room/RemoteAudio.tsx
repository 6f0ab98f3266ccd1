import { AudioTrack, type TrackReference, useTracks } from '@livekit/components-react';
import { Track } from 'livekit-client';

const SOURCES = [Track.Source.Microphone, Track.Source.ScreenShareAudio, Track.Source.Unknown];

/** The others' sound: one `<audio data-identity>` a track, whether its tile is on screen or not. */
export function RemoteAudio() {
  const tracks = useTracks(SOURCES, { updateOnlyOn: [], onlySubscribed: true });
  return tracks.filter(isRemoteAudio).map((track) => (
    <AudioTrack key={track.publication.trackSid} trackRef={track} data-identity={track.participant.identity} />
  ));
}

function isRemoteAudio(track: TrackReference): boolean {
  return !track.participant.isLocal && track.publication.kind === Track.Kind.Audio;
}

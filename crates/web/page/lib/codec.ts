export type PublishedCodec = 'vp8' | 'h264';

/** What of a codec's capability the choice looks at; RTCRtpCodec has both. */
export interface EncodableCodec {
  mimeType: string;
  sdpFmtpLine?: string;
}

// The server takes H.264 for forwarding as constrained baseline only: that is what every room
// system reads.
const CONSTRAINED_BASELINE = /profile-level-id=42[ce]0/i;

/**
 * The codec in which the camera should be published; `now` is what it is published in.
 *
 * Room systems speak H.264. When one is here and this browser can encode it, publishing H.264
 * lets the server forward the picture to the room without transcoding. Otherwise VP8, whose
 * simulcast every browser encodes well.
 *
 * H.264 stays when the last room system leaves: to go back would be work for everybody's browser
 * for nothing, and again when the room calls once more, as rooms do. But nobody may be left without
 * a picture: a room system gets it transcoded, a browser that cannot read H.264 does not.
 */
export function cameraCodec(
  now: PublishedCodec | undefined,
  roomSystemPresent: boolean,
  everybodyReadsH264: boolean,
  encodable: readonly EncodableCodec[],
): PublishedCodec {
  if (!everybodyReadsH264) return 'vp8';
  if (now === 'h264') return 'h264';
  return roomSystemPresent && encodable.some(isForwardable) ? 'h264' : 'vp8';
}

function isForwardable({ mimeType, sdpFmtpLine = '' }: EncodableCodec): boolean {
  return mimeType.toLowerCase() === 'video/h264' && CONSTRAINED_BASELINE.test(sdpFmtpLine);
}

/**
 * What a participant says of itself when its browser cannot read H.264: Firefox can with a plugin
 * only, which it fetches from the internet, so never in a closed network.
 */
export const LACKS_H264: Readonly<Record<string, string>> = { 'plenum.lacks': 'h264' };

export function readsH264(attributes: Readonly<Record<string, string>>): boolean {
  return attributes['plenum.lacks'] !== 'h264';
}

/** Whether this browser reads H.264; it is believed to where it does not tell. */
export function decodesH264(): boolean {
  const codecs = RTCRtpReceiver.getCapabilities('video')?.codecs;
  return codecs === undefined || codecs.some((codec) => codec.mimeType.toLowerCase() === 'video/h264');
}

export function encodableVideo(): readonly EncodableCodec[] {
  return RTCRtpSender.getCapabilities('video')?.codecs ?? [];
}

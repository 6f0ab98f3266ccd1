export type PublishedCodec = 'vp8' | 'h264';

/**
 * The codec of the camera when it is first published.
 *
 * Room systems speak H.264. When one is here and this browser can encode it, publishing H.264
 * lets the server forward the picture to the room without transcoding. Otherwise VP8, whose
 * simulcast every browser encodes well.
 */
export function cameraCodec(roomSystemPresent: boolean, encodable: readonly string[]): PublishedCodec {
  const canH264 = encodable.some((mime) => mime.toLowerCase() === 'video/h264');
  return roomSystemPresent && canH264 ? 'h264' : 'vp8';
}

export function encodableVideo(): string[] {
  return RTCRtpSender.getCapabilities('video')?.codecs.map((codec) => codec.mimeType) ?? [];
}

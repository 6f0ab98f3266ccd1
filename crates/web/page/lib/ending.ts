import { DisconnectReason } from 'livekit-client';

/** How a meeting ended for this person; each is a screen of its own. */
export type Ending = 'left' | 'removed' | 'ended' | 'elsewhere' | 'unreachable';

export function endingOf(reason: DisconnectReason | undefined): Ending {
  switch (reason) {
    case DisconnectReason.CLIENT_INITIATED:
      return 'left';
    case DisconnectReason.PARTICIPANT_REMOVED:
      return 'removed';
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return 'ended';
    case DisconnectReason.DUPLICATE_IDENTITY:
      return 'elsewhere';
    default:
      return 'unreachable';
  }
}

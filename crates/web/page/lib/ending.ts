import { ConnectionError, ConnectionErrorReason, DisconnectReason } from 'livekit-client';

/** How a meeting ended for this person; each is a screen of its own. */
export type Ending = 'left' | 'removed' | 'ended' | 'elsewhere' | 'refused' | 'unreachable' | 'declined' | 'lapsed';

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

/**
 * Why connecting failed. Who comes here was let in by the API a moment ago: what refuses now is
 * the meeting itself, which is full or over.
 */
export function failureOf(error: unknown): Ending {
  const refusals = [ConnectionErrorReason.LeaveRequest, ConnectionErrorReason.NotAllowed];
  const refused = error instanceof ConnectionError && refusals.includes(error.reason);
  return refused && error.context !== DisconnectReason.SERVER_SHUTDOWN ? 'refused' : 'unreachable';
}

const STATUSES = ['dialing', 'ringing', 'automation', 'hangup'] as const;
export type CallStatus = (typeof STATUSES)[number] | 'connecting' | 'hold';

/** How a room system's call stands while it takes no part in the meeting; undefined while it does. */
export function pendingCall(attributes: Readonly<Record<string, string>>): CallStatus | undefined {
  const status = attributes['sip.callStatus'];
  if (status === undefined || status === '' || status === 'active') {
    return attributes['plenum.hold'] === 'true' ? 'hold' : undefined;
  }
  return STATUSES.find((known) => known === status) ?? 'connecting';
}

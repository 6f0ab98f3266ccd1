const STATUSES = ['dialing', 'ringing', 'automation', 'hangup'] as const;
export type CallStatus = (typeof STATUSES)[number] | 'connecting';

/** The state of a room system's call while it is not in the meeting yet; undefined once it is. */
export function pendingCall(attributes: Readonly<Record<string, string>>): CallStatus | undefined {
  const status = attributes['sip.callStatus'];
  if (status === undefined || status === '' || status === 'active') return undefined;
  return STATUSES.find((known) => known === status) ?? 'connecting';
}
